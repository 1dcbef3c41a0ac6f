//! The `llmc` binary; everything is in the library.

fn main() -> std::process::ExitCode {
    llmc::main()
}

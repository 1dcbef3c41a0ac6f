//! Generates `MANUAL.md` from the instruction rows.

/// Compares a generated file of this crate with what it should hold, or rewrites it if `LLMC_BLESS` is set.
#[cfg(test)]
#[track_caller]
pub(crate) fn assert_fresh(path: &str, content: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("LLMC_BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == content, "{} is stale; LLMC_BLESS=1 cargo test -p llmc-isa rewrites it", path.display());
}

//! Memory maps and atomic writes.

use crate::error::TensorError;
use bytes::Bytes;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Maps a file read only. The bytes keep the map alive; slices of them share it.
///
/// # Errors
/// The operating system's, with the path.
pub fn map_file(path: impl AsRef<Path>) -> Result<Bytes, TensorError> {
    let path = path.as_ref();
    let io = |e| TensorError::io(path, e);
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if meta.is_dir() {
        return Err(io(std::io::Error::other("is a directory, not a file")));
    }
    if meta.len() == 0 {
        return Ok(Bytes::new()); // an empty map is an error on Linux
    }
    // SAFETY: the map is read only. As with every mapped file, another process that truncates it while
    // we read can kill this process; it cannot break memory safety of values already read.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
    Ok(Bytes::from_owner(map))
}

/// Moves bytes into a file without a name, and maps it: what is large and made on the way does not stay in private memory.
///
/// # Errors
/// The operating system's, with the path that the file had for a moment.
pub fn spill(data: &[u8]) -> Result<Bytes, TensorError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(format!("llmc-{process}-{count}.spill"));
    let io = |e| TensorError::io(&path, e);
    let mut file = File::create_new(&path).map_err(io)?;
    let mapped = file
        .write_all(data)
        .map_err(io)
        .and_then(|()| map_file(&path));
    // The map keeps the contents until it is dropped.
    std::fs::remove_file(&path).map_err(io)?;
    mapped
}

/// Writes a whole file, or nothing: into a neighbour `.NAME.tmp-PID`, then renamed over `path`.
///
/// # Errors
/// The operating system's, with the path. The neighbour is removed then.
pub fn write_atomic(path: impl AsRef<Path>, data: &[u8]) -> Result<(), TensorError> {
    let path = path.as_ref();
    let io = |e| TensorError::io(path, e);
    let name = path
        .file_name()
        .ok_or_else(|| io(std::io::Error::other("is not a file name")))?
        .to_string_lossy();
    let temp = path.with_file_name(format!(".{name}.tmp-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&temp)?;
        file.write_all(data)?;
        file.sync_all()?;
        std::fs::rename(&temp, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temp); // best effort: the first error is the one to report
        io(e)
    })
}

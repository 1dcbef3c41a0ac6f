//! Zeroed, 64-byte aligned bytes that the operating system commits as they are touched.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of the storage; also what makes a `f32` view of any aligned address possible.
const ALIGN: usize = 64;

/// Alignment asked of the allocator: only up to this one does it get zero pages from the system instead of clearing.
const LAZY_ALIGN: usize = 16;

/// A fixed number of bytes, zero at first.
#[derive(Debug)]
pub struct AlignedBytes {
    /// What was allocated: `len + ALIGN` bytes.
    raw: NonNull<u8>,
    /// First multiple of `ALIGN` in it.
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are owned exclusively, as in a `Vec<u8>`.
unsafe impl Send for AlignedBytes {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `len` zero bytes, or `None` if the host cannot provide them.
    pub fn zeroed(len: usize) -> Option<AlignedBytes> {
        let layout = Layout::from_size_align(len.checked_add(ALIGN)?, LAZY_ALIGN).ok()?;
        // SAFETY: the layout is not empty.
        let raw = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skip = raw.as_ptr().align_offset(ALIGN);
        // SAFETY: an aligned address is at most ALIGN - 1 bytes ahead, and len + ALIGN bytes are allocated.
        let ptr = unsafe { raw.add(skip.min(ALIGN - 1)) };
        Some(AlignedBytes { raw, ptr, len })
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout, which was valid there.
        unsafe {
            dealloc(
                self.raw.as_ptr(),
                Layout::from_size_align_unchecked(self.len + ALIGN, LAZY_ALIGN),
            )
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `ptr` is valid for `len` initialised bytes.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

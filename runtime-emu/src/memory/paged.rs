//! A table of pages that allocates only the parts that are touched.

/// Pages of one block.
const BLOCK: usize = 512;

/// `len` pages, default until touched, allocated in blocks of 512.
#[derive(Debug)]
pub struct Paged<T> {
    blocks: Vec<Option<Box<[T]>>>,
}

impl<T: Default> Paged<T> {
    /// A table of at least `len` pages.
    pub fn new(len: u64) -> Paged<T> {
        let blocks = (len as usize).div_ceil(BLOCK);
        Paged {
            blocks: std::iter::repeat_with(|| None).take(blocks).collect(),
        }
    }

    /// Page `index`, allocated if this is its first use.
    ///
    /// # Panics
    /// If `index` is not below the length; callers check addresses first.
    #[inline]
    pub fn get_mut(&mut self, index: u64) -> &mut T {
        let index = index as usize;
        let block = self.blocks[index / BLOCK].get_or_insert_with(new_block);
        &mut block[index % BLOCK]
    }
}

#[cold]
fn new_block<T: Default>() -> Box<[T]> {
    std::iter::repeat_with(T::default).take(BLOCK).collect()
}

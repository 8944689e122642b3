//! A vector in pieces of one size: growing it never moves what it holds.
//!
//! A plain vector that grows past a million entries copies megabytes while everybody waits for the
//! lock. Here one push in `N` allocates a piece, and nothing is copied but the directory: 24 bytes
//! for every `N` entries, 24 KiB for a million of them in pieces of 1024.

/// Entries in pieces of `N`. Pieces are kept until the whole is dropped.
#[derive(Debug)]
pub(crate) struct Chunked<T, const N: usize = 1024> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T, const N: usize> Default for Chunked<T, N> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T, const N: usize> Chunked<T, N> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, value: T) {
        let chunk = self.len / N;
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(N));
        }
        self.chunks[chunk].push(value);
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.chunks[last / N].pop()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / N)?.get(at % N)
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at / N)?.get_mut(at % N)
    }

    /// From the first to the last.
    #[cfg(any(test, feature = "sim", feature = "verify"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

impl<T, const N: usize> std::ops::Index<usize> for Chunked<T, N> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.chunks[at / N][at % N]
    }
}

impl<T, const N: usize> std::ops::IndexMut<usize> for Chunked<T, N> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / N][at % N]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_in_it_never_moves() {
        let mut chunked: Chunked<u32, 4> = Chunked::default();
        chunked.push(7);
        let first = std::ptr::from_ref(&chunked[0]);
        for number in 0..1000 {
            chunked.push(number);
        }
        assert_eq!(first, std::ptr::from_ref(&chunked[0]));
    }

    proptest! {
        #[test]
        fn it_does_what_a_vector_would(
            steps in proptest::collection::vec((any::<bool>(), any::<u32>()), 0..100),
        ) {
            let mut chunked: Chunked<u32, 4> = Chunked::default();
            let mut model = Vec::new();
            for (push, value) in steps {
                if push {
                    chunked.push(value);
                    model.push(value);
                } else {
                    prop_assert_eq!(chunked.pop(), model.pop());
                }
                prop_assert_eq!(chunked.len(), model.len());
                prop_assert_eq!(chunked.is_empty(), model.is_empty());
                prop_assert_eq!(chunked.iter().copied().collect::<Vec<_>>(), model.clone());
                for at in 0..model.len() + 5 {
                    prop_assert_eq!(chunked.get(at), model.get(at));
                    prop_assert_eq!(chunked.get_mut(at).map(|each| *each), model.get(at).copied());
                }
            }
        }
    }
}

//! Records without gaps, in chunks, so that memory follows their number.

/// Number of records in a chunk. A chunk never moves, so growth copies no records.
const CHUNK: usize = 16;

/// A list of records. The last one moves to the position of a removed one.
pub(crate) struct Records<T> {
    /// Full chunks, then at most one that is not full, then empty ones that are kept for growth.
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Records<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of records that there is memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    pub(crate) fn get(&self, position: usize) -> Option<&T> {
        self.chunks.get(position / CHUNK)?.get(position % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut T> {
        self.chunks.get_mut(position / CHUNK)?.get_mut(position % CHUNK)
    }

    /// Appends a record, and returns its position.
    pub(crate) fn push(&mut self, record: T) -> usize {
        let position = self.len;
        match self.chunks.get_mut(position / CHUNK) {
            Some(chunk) => chunk.push(record),
            None => {
                // The first chunk grows from one record, so that few records take little memory.
                let mut chunk = Vec::with_capacity(if position == 0 { 1 } else { CHUNK });
                chunk.push(record);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
        position
    }

    /// Removes a record. The last one takes its position.
    pub(crate) fn swap_remove(&mut self, position: usize) -> Option<T> {
        self.get(position)?;
        let last = self.chunks.get_mut((self.len - 1) / CHUNK)?.pop()?;
        self.len -= 1;
        match self.get_mut(position) {
            Some(removed) => Some(std::mem::replace(removed, last)),
            None => Some(last),
        }
    }

    /// Frees memory that more records than these need.
    pub(crate) fn shrink_to(&mut self, records: usize) {
        self.chunks.truncate(records.max(self.len).div_ceil(CHUNK));
        if self.chunks.len() < self.chunks.capacity() / 2 {
            self.chunks.shrink_to_fit();
        }
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>());
        chunks.sum::<usize>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn records_stay_without_gaps_like_a_vector() {
        let (mut records, mut expected) = (Records::default(), Vec::new());
        for round in 0..2_000_usize {
            // Grows and shrinks across the bounds of chunks, down to nothing.
            if round % 200 < 100 || expected.is_empty() {
                assert_eq!(records.push(round), expected.len());
                expected.push(round);
            } else {
                let position = round * 7 % expected.len();
                assert_eq!(records.swap_remove(position), Some(expected.swap_remove(position)));
            }
            assert_eq!(records.len(), expected.len());
            assert!(expected.iter().enumerate().all(|(at, record)| records.get(at) == Some(record)));
            assert_eq!(records.get(expected.len()), None);
            assert_eq!(records.swap_remove(expected.len()), None);
            assert!(records.capacity() >= expected.len());
            if round % 70 == 0 {
                records.shrink_to(round % 40);
                assert!(records.capacity() < expected.len().max(round % 40) + CHUNK);
            }
        }
    }
}

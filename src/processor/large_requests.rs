//! The large requests that are under way, all clients' together (`largeRequestThreshold`).
//!
//! A large request counts from the moment its length is known, before its bytes are here, until
//! it is finished. So neither requests nor beginnings of requests can take more memory than
//! `largeRequestMaxBytes`, however many clients send them; the connection whose request does not
//! fit any more is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit and what is under way.
#[derive(Debug)]
pub struct LargeRequests {
    threshold: usize,
    max_bytes: usize,
    bytes: AtomicUsize,
}

/// What one connection has under way.
#[derive(Debug, Default)]
pub struct LargeShare {
    /// Submitted and not finished.
    submitted: usize,
    /// Of the request that is being received.
    incoming: usize,
    limit: Option<Arc<LargeRequests>>,
}

/// The request does not fit any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyLargeRequests;

impl LargeRequests {
    /// Requests of more than `threshold` bytes may together have `max_bytes`.
    pub fn new(threshold: usize, max_bytes: usize) -> Self {
        LargeRequests { threshold, max_bytes, bytes: AtomicUsize::new(0) }
    }

    /// Bytes of large requests under way.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn reserve(&self, length: usize) -> Result<(), TooManyLargeRequests> {
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        if before + length > self.max_bytes {
            self.release(length);
            return Err(TooManyLargeRequests);
        }
        Ok(())
    }

    fn release(&self, length: usize) {
        self.bytes.fetch_sub(length, Ordering::Relaxed);
    }
}

impl LargeShare {
    /// A request of `length` bytes is coming, or has come. To be told more than once is harmless.
    ///
    /// # Errors
    /// It is large, and there is no room for it.
    pub fn comes(
        &mut self,
        length: usize,
        limit: &Arc<LargeRequests>,
    ) -> Result<(), TooManyLargeRequests> {
        if length <= limit.threshold || self.incoming > 0 {
            return Ok(());
        }
        limit.reserve(length)?;
        self.limit.get_or_insert_with(|| limit.clone());
        self.incoming = length;
        Ok(())
    }

    /// The request that came was submitted: it counts until all are [`finished`](Self::finished).
    pub fn is_submitted(&mut self) {
        self.submitted += std::mem::take(&mut self.incoming);
    }

    /// The request that came was answered.
    pub fn is_answered(&mut self) {
        let incoming = std::mem::take(&mut self.incoming);
        self.release(incoming);
    }

    /// Nothing submitted is unfinished.
    pub fn finished(&mut self) {
        let submitted = std::mem::take(&mut self.submitted);
        self.release(submitted);
    }

    fn release(&self, bytes: usize) {
        if bytes > 0
            && let Some(limit) = &self.limit
        {
            limit.release(bytes);
        }
    }
}

impl Drop for LargeShare {
    fn drop(&mut self) {
        self.release(self.submitted + self.incoming);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_count_from_their_first_bytes_until_they_are_finished() {
        let limit = Arc::new(LargeRequests::new(100, 1000));
        let (mut one, mut other) = (LargeShare::default(), LargeShare::default());
        one.comes(100, &limit).unwrap();
        assert_eq!(limit.bytes(), 0, "it is not large");
        one.comes(600, &limit).unwrap();
        one.comes(600, &limit).unwrap();
        assert_eq!(limit.bytes(), 600, "the same request, not another");
        assert_eq!(other.comes(401, &limit), Err(TooManyLargeRequests));
        other.comes(400, &limit).unwrap();
        other.is_answered();
        one.is_submitted();
        assert_eq!(limit.bytes(), 600);
        one.comes(400, &limit).unwrap();
        assert_eq!(limit.bytes(), 1000);
        one.finished();
        assert_eq!(limit.bytes(), 400);
        drop(one);
        assert_eq!(limit.bytes(), 0);
    }
}

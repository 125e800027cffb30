//! Two futures at once, of which the first that is ready wins.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What won a race.
#[derive(Debug, PartialEq, Eq)]
pub enum Won<A, B> {
    /// The first future was ready.
    First(A),
    /// The second was, and the first was not.
    Second(B),
}

/// Waits for either of the two; the other is dropped where it is. If both are ready the first wins.
pub async fn race<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Won<A, B> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(a) = a.as_mut().poll(context) {
            return Poll::Ready(Won::First(a));
        }
        b.as_mut().poll(context).map(Won::Second)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn whoever_is_ready_wins_and_the_first_of_two() {
        assert_eq!(race(ready(1), pending::<()>()).await, Won::First(1));
        assert_eq!(race(pending::<()>(), ready(2)).await, Won::Second(2));
        assert_eq!(race(ready(1), ready(2)).await, Won::First(1));
    }
}

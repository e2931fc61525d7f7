//! Pages of a trail's matching leaves.
//!
//! - A page ends when it is full, when everything was scanned, or when its time is up; except in the second case it has a
//!   cursor for the next page, which neither loses nor repeats leaves.
//! - Each page makes progress, however few leaves match: a reader that follows the cursors reaches the end.
//! - Dropping the future stops the work.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use meshtrail_event::{Position, RelativePosition, TrailName, UnknownTrail};

use crate::filter::Filter;

/// Indexes that are scanned at a time; the clock is checked between them, because skipped pages yield no leaves.
const WINDOW: u64 = 1 << 18;

/// Bytes of leaves that make a page full, whatever its limit.
const MAX_BYTES: usize = 4 << 20;

/// Leaves after which the task yields and checks the clock.
const YIELD_EVERY: u64 = 256;

/// Which end of the trail comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// The place between two pages of one trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    order: Order,
    at: u64,
}

/// Why a text is not a cursor of this trail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CursorError {
    #[error("this is not a cursor of an earlier page")]
    Text,
    #[error(transparent)]
    Trail(UnknownTrail),
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At one end of the trail.
    Fresh(Order),
    /// After an earlier page, in the same order.
    After(Cursor),
}

/// A request for a page.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// Where the page begins.
    pub start: Start,
    /// The most leaves in the page; 4 MiB of leaves make it full as well.
    pub limit: usize,
    /// The approximate time limit of the work.
    pub budget: Duration,
}

/// A page of matching leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The leaves with their indexes, in order.
    pub items: Vec<(u64, Bytes)>,
    /// The cursor of the next page; none if everything was scanned.
    pub next: Option<Cursor>,
    /// Leaves that were read for this page, without those that were skipped.
    pub looked_at: u64,
    /// Whether the page is short because its time was up.
    pub out_of_time: bool,
}

impl Cursor {
    /// A cursor of pages in this order; [`Cursor::at`] says what `at` means.
    pub fn new(order: Order, at: u64) -> Cursor {
        Cursor { order, at }
    }

    /// Its text as a cursor of `trail`: `n` or `o`, for the order, and the position.
    pub fn write(self, trail: &TrailName) -> String {
        let order = match self.order {
            Order::Newest => 'n',
            Order::Oldest => 'o',
        };
        format!("{order}{}", Position { trail: trail.clone(), index: self.at })
    }

    /// The cursor of this text, which must be one of `trail`. A bare index in place of the position is in `trail`.
    pub fn read(text: &str, trail: &TrailName) -> Result<Cursor, CursorError> {
        let (order, at) = match text.split_at_checked(1) {
            Some(("n", at)) => (Order::Newest, at),
            Some(("o", at)) => (Order::Oldest, at),
            _ => return Err(CursorError::Text),
        };
        let at: RelativePosition = at.parse().map_err(|_| CursorError::Text)?;
        Ok(Cursor { order, at: at.index_in(trail).map_err(CursorError::Trail)? })
    }

    /// The index: in the order oldest first, everything below it was scanned; otherwise everything from it on.
    pub fn at(self) -> u64 {
        self.at
    }
}

/// The indexes that are not scanned yet, consumed from one end.
struct RemainingRange {
    order: Order,
    left: Range<u64>,
}

impl RemainingRange {
    fn of(request: &PageRequest, size: u64) -> RemainingRange {
        let (order, left) = match request.start {
            Start::After(Cursor { order: Order::Newest, at }) => (Order::Newest, 0..at.min(size)),
            Start::After(Cursor { order: Order::Oldest, at }) => (Order::Oldest, at.min(size)..size),
            Start::Fresh(order) => (order, 0..size),
        };
        RemainingRange { order, left }
    }

    fn window(&self) -> Range<u64> {
        match self.order {
            Order::Newest => self.left.end.saturating_sub(WINDOW).max(self.left.start)..self.left.end,
            Order::Oldest => self.left.start..self.left.start.saturating_add(WINDOW).min(self.left.end),
        }
    }

    /// Marks everything up to and including `window` as scanned.
    fn advance(&mut self, window: Range<u64>) {
        match self.order {
            Order::Newest => self.left.end = window.start,
            Order::Oldest => self.left.start = window.end,
        }
    }

    fn cursor(&self) -> Option<Cursor> {
        let at = match self.order {
            Order::Newest => self.left.end,
            Order::Oldest => self.left.start,
        };
        (!self.left.is_empty()).then_some(Cursor { order: self.order, at })
    }
}

/// A page of a trail of `size` leaves. `scan` returns the leaves of a range of indexes that the filter's hints don't
/// exclude, in the given order.
pub async fn page<S, E>(
    filter: &Filter,
    request: &PageRequest,
    size: u64,
    scan: impl FnMut(Range<u64>, Order) -> S,
) -> Result<Page, E>
where
    S: Stream<Item = Result<(u64, Bytes), E>>,
{
    page_of(|leaf| filter.matches(leaf), request, size, scan).await
}

/// Like [`page`], of the leaves for which `fits` returns true.
pub(crate) async fn page_of<S, E>(
    fits: impl Fn(&[u8]) -> bool,
    request: &PageRequest,
    size: u64,
    mut scan: impl FnMut(Range<u64>, Order) -> S,
) -> Result<Page, E>
where
    S: Stream<Item = Result<(u64, Bytes), E>>,
{
    let until = Instant::now() + request.budget;
    let mut remaining = RemainingRange::of(request, size);
    let (mut page, mut bytes) = (Page::default(), 0);
    'page: while !remaining.left.is_empty() {
        let window = remaining.window();
        let mut leaves = std::pin::pin!(scan(window.clone(), remaining.order));
        while let Some(leaf) = leaves.next().await {
            let (index, leaf) = leaf?;
            page.looked_at += 1;
            remaining.advance(index..index + 1);
            if fits(&leaf) {
                bytes += leaf.len();
                page.items.push((index, leaf));
                if page.items.len() >= request.limit || bytes >= MAX_BYTES {
                    // Finding out whether more follow could take long; the next page does.
                    break 'page;
                }
            }
            if page.looked_at.is_multiple_of(YIELD_EVERY) {
                if Instant::now() >= until {
                    page.out_of_time = true;
                    break 'page;
                }
                tokio::task::yield_now().await;
            }
        }
        remaining.advance(window);
        if Instant::now() >= until && !remaining.left.is_empty() {
            page.out_of_time = true;
            break;
        }
    }
    page.next = remaining.cursor();
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn main() -> TrailName {
        "main".parse().unwrap()
    }

    /// A trail of leaves, of which each seventh matches.
    fn scan(range: Range<u64>, order: Order) -> impl Stream<Item = Result<(u64, Bytes), Infallible>> {
        let leaf = |index| {
            let text = if index % 7 == 0 { "[\"hit\"]" } else { "[\"miss\"]" };
            Ok((index, Bytes::from_static(text.as_bytes())))
        };
        let mut indexes: Vec<u64> = range.collect();
        if order == Order::Newest {
            indexes.reverse();
        }
        futures::stream::iter(indexes.into_iter().map(leaf))
    }

    async fn all(size: u64, order: Order, limit: usize, budget: Duration) -> (Vec<u64>, u32) {
        let filter = Filter::parse("hit").unwrap();
        let (mut found, mut pages, mut start) = (Vec::new(), 0, Start::Fresh(order));
        loop {
            let request = PageRequest { start, limit, budget };
            let page = page(&filter, &request, size, scan).await.unwrap();
            assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|(index, _)| *index));
            pages += 1;
            match page.next {
                Some(next) => start = Start::After(Cursor::read(&next.write(&main()), &main()).unwrap()),
                None => return (found, pages),
            }
        }
    }

    #[tokio::test]
    async fn pages_together_are_everything_once_in_order() {
        let expected: Vec<u64> = (0..1000).filter(|index| index % 7 == 0).collect();
        let newest: Vec<u64> = expected.iter().rev().copied().collect();
        for limit in [1, 10, 143, 5000] {
            assert_eq!(all(1000, Order::Oldest, limit, Duration::MAX / 4).await.0, expected);
            assert_eq!(all(1000, Order::Newest, limit, Duration::MAX / 4).await.0, newest);
        }
        assert_eq!(all(0, Order::Newest, 5, Duration::ZERO).await, (vec![], 1));
    }

    #[tokio::test]
    async fn a_page_whose_time_is_up_still_gets_further() {
        let (found, pages) = all(10_000, Order::Newest, 100_000, Duration::ZERO).await;
        assert_eq!((found.len(), pages), (1429, 10_000u32.div_ceil(256)));
    }

    #[tokio::test]
    async fn a_page_of_long_leaves_is_full_by_their_bytes() {
        let long = Bytes::from(format!("[\"{}\"]", "x".repeat(1 << 20)));
        let scan = |range: Range<u64>, _| {
            futures::stream::iter(
                range.map(|index| Ok::<_, Infallible>((index, long.clone()))).collect::<Vec<_>>(),
            )
        };
        let request =
            PageRequest { start: Start::Fresh(Order::Oldest), limit: 100, budget: Duration::MAX / 4 };
        let page = page(&Filter::everything(), &request, 10, scan).await.unwrap();
        assert_eq!((page.items.len(), page.next.map(Cursor::at)), (4, Some(4)));
    }

    #[tokio::test]
    async fn a_page_does_not_see_what_came_after_the_first() {
        let filter = Filter::parse("hit").unwrap();
        let request = |start| PageRequest { start, limit: 2, budget: Duration::from_secs(60) };
        let first = page(&filter, &request(Start::Fresh(Order::Newest)), 15, scan).await.unwrap();
        assert_eq!(first.items.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [14, 7]);
        let second = page(&filter, &request(Start::After(first.next.unwrap())), 99, scan).await.unwrap();
        assert_eq!(second.items.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
        assert_eq!(second.next, None);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "n", "x7", "n-1", "n99999999999999999999", "é1", "7", "nmain", "nmain:x", "main:7"]
        {
            assert_eq!(Cursor::read(text, &main()), Err(CursorError::Text), "{text}");
        }
    }

    #[test]
    fn a_cursor_names_its_trail_and_one_without_is_of_the_own() {
        let cursor = Cursor::new(Order::Newest, 17);
        assert_eq!(cursor.write(&main()), "nmain:17");
        assert_eq!(Cursor::read("n17", &main()), Ok(cursor));
        let error = Cursor::read("nedge:17", &main()).unwrap_err();
        assert!(error.to_string().contains("no trail edge here"), "{error}");
    }
}

//! Values over time: [`windows`] aggregates entries by their time, [`latest`](aggregate) keeps the newest entry of
//! several streams.
//!
//! In reading order: [`Tumbling`] and [`Sliding`] (`shape`) say which windows there are; an [`Aggregate`]
//! (`aggregates`) says what is computed; `open_windows` puts each entry into its windows and closes them; [`Windows`]
//! (`reader`) gives the results; [`WindowSink`] (`sink`) stores each result once. [`Latest`] (`latest`) is the second
//! function.

mod aggregates;
mod latest;
mod open_windows;
mod reader;
mod shape;
mod sink;

pub use aggregates::{Aggregate, Count, Fold, Max, Mean, Min, PerKey, Sum, Totals};
pub use latest::{Latest, aggregate};
pub use open_windows::Window;
pub use reader::{WindowEvent, Windows, WindowsOf, windows, windows_of};
pub use shape::{InvalidWindows, Shape, Sliding, Tumbling};
pub use sink::{SinkError, Stored, WindowSink};

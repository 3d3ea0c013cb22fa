use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::stream::Item;

/// What is computed from the items of a window. Two or three of them in a tuple are computed together.
pub trait Aggregate<T>: Send + 'static {
    /// What is kept while the window is open. It must not grow with the number of items.
    type State: Send;
    /// The result.
    type Output: Send;

    /// The state of a window without items.
    fn start(&self) -> Self::State;

    /// Adds an item.
    fn add(&self, state: &mut Self::State, item: &Item<T>);

    /// The result of a window that has closed.
    fn finish(&self, state: Self::State) -> Self::Output;
}

/// The number of items.
#[derive(Debug, Clone, Copy)]
pub struct Count;

impl<T> Aggregate<T> for Count {
    type State = u64;
    type Output = u64;

    fn start(&self) -> u64 {
        0
    }

    fn add(&self, state: &mut u64, _item: &Item<T>) {
        *state += 1;
    }

    fn finish(&self, state: u64) -> u64 {
        state
    }
}

/// An aggregate of one number of each item.
macro_rules! of_numbers {
    ($(#[$doc:meta])* $name:ident: $state:ty => $output:ty, $start:expr, $add:expr, $finish:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name<F>(F);

        impl<F> $name<F> {
            /// Of the number that `number` finds in a value.
            pub fn of<T>(number: F) -> Self
            where
                F: Fn(&T) -> f64 + Send + 'static,
            {
                Self(number)
            }
        }

        impl<T, F: Fn(&T) -> f64 + Send + 'static> Aggregate<T> for $name<F> {
            type State = $state;
            type Output = $output;

            fn start(&self) -> $state {
                $start
            }

            fn add(&self, state: &mut $state, item: &Item<T>) {
                let add: fn(&mut $state, f64) = $add;
                add(state, (self.0)(&item.value));
            }

            fn finish(&self, state: $state) -> $output {
                let finish: fn($state) -> $output = $finish;
                finish(state)
            }
        }
    };
}

of_numbers!(
    /// The sum of a number of each item; zero without items.
    Sum: f64 => f64, 0.0, |sum, number| *sum += number, |sum| sum
);

of_numbers!(
    /// The smallest number. NaN is ignored; `None` without another number.
    Min: Option<f64> => Option<f64>, None, |min, number| *min = Some(min.map_or(number, |min| min.min(number))),
    |min| min.filter(|min| !min.is_nan())
);

of_numbers!(
    /// The largest number. NaN is ignored; `None` without another number.
    Max: Option<f64> => Option<f64>, None, |max, number| *max = Some(max.map_or(number, |max| max.max(number))),
    |max| max.filter(|max| !max.is_nan())
);

of_numbers!(
    /// The mean of a number of each item; `None` without items.
    Mean: (f64, u64) => Option<f64>, (0.0, 0), |(sum, count), number| {
        *sum += number;
        *count += 1;
    }, |(sum, count)| (count > 0).then(|| sum / count as f64)
);

/// A fold of your own.
///
/// ```
/// use streamgate::windows::Fold;
///
/// // The longest text of a window. The state must not grow with the number of items.
/// let longest = Fold::new(String::new, |longest: &mut String, item: &streamgate::stream::Item<String>| {
///     if item.value.len() > longest.len() {
///         longest.clone_from(&item.value);
///     }
/// });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Fold<S, I, A> {
    start: I,
    add: A,
    state: PhantomData<fn() -> S>,
}

impl<S, I, A> Fold<S, I, A> {
    /// Begins each window with `start()` and calls `add` with each item.
    pub fn new<T>(start: I, add: A) -> Self
    where
        I: Fn() -> S + Send + 'static,
        A: Fn(&mut S, &Item<T>) + Send + 'static,
    {
        Self { start, add, state: PhantomData }
    }
}

impl<T, S, I, A> Aggregate<T> for Fold<S, I, A>
where
    S: Send + 'static,
    I: Fn() -> S + Send + 'static,
    A: Fn(&mut S, &Item<T>) + Send + 'static,
{
    type State = S;
    type Output = S;

    fn start(&self) -> S {
        (self.start)()
    }

    fn add(&self, state: &mut S, item: &Item<T>) {
        (self.add)(state, item);
    }

    fn finish(&self, state: S) -> S {
        state
    }
}

/// An aggregate for each key, such as each user: the items of a window are grouped by a key.
#[derive(Debug, Clone, Copy)]
pub struct PerKey<F, A> {
    key: F,
    aggregate: A,
    most: usize,
}

/// The results for each key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Totals<O> {
    /// The result for each key.
    pub by_key: BTreeMap<String, O>,
    /// The number of items that are in no result, because their window had too many keys before.
    pub left_out: u64,
}

impl<F, A> PerKey<F, A> {
    /// Computes `aggregate` for each key that `key` finds in a value, for up to 10,000 keys in a window.
    pub fn new<T>(key: F, aggregate: A) -> Self
    where
        F: Fn(&T) -> String + Send + 'static,
        A: Aggregate<T>,
    {
        Self { key, aggregate, most: 10_000 }
    }

    /// The most keys in a window, which bounds the memory. The items of further keys are counted in
    /// [`Totals::left_out`].
    #[must_use]
    pub fn most(mut self, keys: usize) -> Self {
        self.most = keys;
        self
    }
}

impl<T, F, A> Aggregate<T> for PerKey<F, A>
where
    F: Fn(&T) -> String + Send + 'static,
    A: Aggregate<T>,
{
    type State = Totals<A::State>;
    type Output = Totals<A::Output>;

    fn start(&self) -> Self::State {
        Totals { by_key: BTreeMap::new(), left_out: 0 }
    }

    fn add(&self, state: &mut Self::State, item: &Item<T>) {
        let key = (self.key)(&item.value);
        let has_room = state.by_key.len() < self.most;
        match state.by_key.get_mut(&key) {
            Some(known) => self.aggregate.add(known, item),
            None if has_room => {
                let new = state.by_key.entry(key).or_insert_with(|| self.aggregate.start());
                self.aggregate.add(new, item);
            }
            None => state.left_out += 1,
        }
    }

    fn finish(&self, state: Self::State) -> Self::Output {
        let finish = |(key, state)| (key, self.aggregate.finish(state));
        Totals { by_key: state.by_key.into_iter().map(finish).collect(), left_out: state.left_out }
    }
}

/// Aggregates that are computed together.
macro_rules! together {
    ($($name:ident $at:tt),+) => {
        impl<T, $($name: Aggregate<T>),+> Aggregate<T> for ($($name,)+) {
            type State = ($($name::State,)+);
            type Output = ($($name::Output,)+);

            fn start(&self) -> Self::State {
                ($(self.$at.start(),)+)
            }

            fn add(&self, state: &mut Self::State, item: &Item<T>) {
                $(self.$at.add(&mut state.$at, item);)+
            }

            fn finish(&self, state: Self::State) -> Self::Output {
                ($(self.$at.finish(state.$at),)+)
            }
        }
    };
}

together!(A 0, B 1);
together!(A 0, B 1, C 2);
together!(A 0, B 1, C 2, D 3);
together!(A 0, B 1, C 2, D 3, E 4);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::EntryId;

    fn of<A: Aggregate<f64>>(aggregate: &A, numbers: &[f64]) -> A::Output {
        let mut state = aggregate.start();
        for value in numbers {
            aggregate.add(&mut state, &Item { id: EntryId::MIN, value: *value });
        }
        aggregate.finish(state)
    }

    #[test]
    fn aggregates_of_numbers_are_right() {
        let number = |number: &f64| *number;
        let all = (Count, Sum::of(number), Min::of(number), Max::of(number), Mean::of(number));

        assert_eq!(of(&all, &[4.0, -2.0, 1.0, 9.0]), (4, 12.0, Some(-2.0), Some(9.0), Some(3.0)));
        assert_eq!(of(&all, &[]), (0, 0.0, None, None, None));
        let extremes = (Min::of(number), Max::of(number));
        assert_eq!(of(&extremes, &[f64::NAN, 1.0, f64::NAN]), (Some(1.0), Some(1.0)));
        assert_eq!(of(&extremes, &[f64::NAN]), (None, None));
    }

    #[test]
    fn too_many_keys_are_counted_and_cost_no_memory() {
        let per_key = PerKey::new(|number: &f64| number.to_string(), Count).most(2);

        let totals = of(&per_key, &[1.0, 2.0, 1.0, 3.0, 4.0, 2.0]);

        let by_key = BTreeMap::from([("1".to_owned(), 2), ("2".to_owned(), 2)]);
        assert_eq!(totals, Totals { by_key, left_out: 2 });
    }
}

use std::collections::{HashMap, VecDeque};

use crate::envelope::CorrelationId;

/// What is known of the ids that were inserted last; their number is bounded.
pub(super) struct LastIds<V> {
    order: VecDeque<CorrelationId>,
    values: HashMap<CorrelationId, V, foldhash::fast::RandomState>,
}

impl<V> Default for LastIds<V> {
    fn default() -> Self {
        Self { order: VecDeque::new(), values: HashMap::default() }
    }
}

/// Enough for the callers of one outage.
pub(super) const MOST_IDS: usize = 8_192;

impl<V> LastIds<V> {
    pub(super) fn insert(&mut self, id: CorrelationId, value: V) {
        if self.values.insert(id, value).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > MOST_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    pub(super) fn get(&self, id: CorrelationId) -> Option<&V> {
        self.values.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ids_are_forgotten() {
        let mut ids = LastIds::default();
        let first = CorrelationId::mint();
        ids.insert(first, 0);
        for number in 1..MOST_IDS {
            ids.insert(CorrelationId::mint(), number);
        }
        assert_eq!(ids.get(first), Some(&0));

        ids.insert(CorrelationId::mint(), MOST_IDS);

        assert_eq!((ids.get(first), ids.values.len(), ids.order.len()), (None, MOST_IDS, MOST_IDS));
    }
}

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Limits retries to a ratio of the calls: if every call fails, retries add only a fraction to the load
/// instead of multiplying it.
///
/// Each call adds `ratio` to the balance; each retry takes 1 from it. The balance also grows by
/// `per_second`, so that a caller with few calls may retry too. It never exceeds ten seconds of `per_second` or 100
/// retries, whichever is more. Source: the retry budgets of Finagle, linkerd and tower.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    ratio: f64,
    per_second: f64,
    most: f64,
    purse: Arc<Mutex<Purse>>,
}

#[derive(Debug)]
struct Purse {
    balance: f64,
    counted_at: Instant,
}

impl RetryBudget {
    /// A budget of `ratio` retries per call (0.2: one retry for five calls) and `per_second` retries per second
    /// independent of the load.
    pub fn new(ratio: f64, per_second: f64) -> Self {
        let purse = Purse { balance: per_second, counted_at: Instant::now() };
        let most = (per_second * 10.0).max(100.0);
        Self { ratio, per_second, most, purse: Arc::new(Mutex::new(purse)) }
    }

    /// Records a call, not counting its retries.
    pub fn earn(&self) {
        self.with(|balance| *balance += self.ratio);
    }

    /// Asks for one retry. `false`: the budget is spent, and the caller should report the failure.
    pub fn try_spend(&self) -> bool {
        self.with(|balance| {
            let allowed = *balance >= 1.0;
            if allowed {
                *balance -= 1.0;
            }
            allowed
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let reserve = purse.counted_at.elapsed().as_secs_f64() * self.per_second;
        purse.counted_at = Instant::now();
        purse.balance = (purse.balance + reserve).min(self.most);
        change(&mut purse.balance)
    }
}

impl Default for RetryBudget {
    /// One retry for five calls, and one more per second.
    fn default() -> Self {
        Self::new(0.2, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retries_stay_a_fraction_of_the_calls() {
        let budget = RetryBudget::new(0.2, 0.0);

        let retries = (0..1_000)
            .filter(|_| {
                budget.earn();
                budget.try_spend()
            })
            .count();

        assert!((195..=200).contains(&retries), "{retries}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_calls_there_is_one_retry_per_second() {
        let budget = RetryBudget::new(0.2, 1.0);
        assert!(budget.try_spend());
        assert!(!budget.try_spend());

        tokio::time::advance(Duration::from_secs(1)).await;

        assert!(budget.try_spend());
    }
}

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// A ratio of retries to calls: when everything fails, retries stay a fraction of the load
/// instead of multiplying it.
///
/// Each call earns `ratio` of a retry, each retry spends a whole one; a small reserve refills at
/// `per_second`, so that a quiet caller may retry too. Calls earn up to ten seconds' worth of
/// reserve or a hundred retries, whichever is more. Source: the retry budgets of Finagle,
/// linkerd and tower.
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
    /// `ratio` retries earned per call (0.2 means one in five), and `per_second` retries a second
    /// whatever the load.
    pub fn new(ratio: f64, per_second: f64) -> Self {
        let purse = Purse { balance: per_second, counted_at: Instant::now() };
        let most = (per_second * 10.0).max(100.0);
        Self { ratio, per_second, most, purse: Arc::new(Mutex::new(purse)) }
    }

    /// A first attempt was made.
    pub fn earn(&self) {
        self.with(|balance| *balance += self.ratio);
    }

    /// Asks for one retry; `false` means the budget is spent and the failure should be answered.
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
    /// One retry in five calls, and one a second besides.
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
    async fn a_quiet_caller_gets_a_retry_a_second() {
        let budget = RetryBudget::new(0.2, 1.0);
        assert!(budget.try_spend());
        assert!(!budget.try_spend());

        tokio::time::advance(Duration::from_secs(1)).await;

        assert!(budget.try_spend());
    }
}

//! When a failed job is tried again. Pure: chance and time come in from outside.

use std::time::Duration;

/// How long after a failure the next try comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// `base × factor^(n-1)`, spread by ±10 %.
    Exponential {
        /// After the first failure.
        base: Duration,
        /// From one failure to the next.
        factor: f64,
    },
    /// `10^n` seconds: 10, 100, 1000 …
    Power10,
    /// `step × n`.
    Linear {
        /// Added with each failure.
        step: Duration,
    },
    /// One delay per failure; the last one again and again.
    Fixed(Vec<Duration>),
}

/// The rule of a job type.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The delays.
    pub backoff: Backoff,
    /// No delay is longer.
    pub cap: Duration,
    /// Tries after the first one, where the job itself does not say.
    pub max_retries: u32,
}

impl Default for RetryPolicy {
    /// Exponential from 10 s, doubling, at most a day, five retries.
    fn default() -> Self {
        Self {
            backoff: Backoff::Exponential { base: Duration::from_secs(10), factor: 2.0 },
            cap: Duration::from_secs(86_400),
            max_retries: 5,
        }
    }
}

impl RetryPolicy {
    /// The delay after the `failures`-th failure in a row (from 1). `chance` is between 0 and 1 and decides the spread.
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let n = failures.max(1);
        let seconds = match &self.backoff {
            Backoff::Exponential { base, factor } => {
                base.as_secs_f64() * factor.powf(f64::from(n - 1)) * (0.9 + 0.2 * chance)
            }
            Backoff::Power10 => 10f64.powf(f64::from(n)),
            Backoff::Linear { step } => step.as_secs_f64() * f64::from(n),
            Backoff::Fixed(delays) => delays.get(n as usize - 1).or(delays.last()).map_or(0.0, Duration::as_secs_f64),
        };
        // Also what is infinite or not a number ends at the cap.
        if seconds < self.cap.as_secs_f64() { Duration::from_secs_f64(seconds.max(0.0)) } else { self.cap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(policy: &RetryPolicy) -> Vec<u64> {
        (1..=6).map(|n| policy.delay(n, 0.5).as_secs()).collect()
    }

    #[test]
    fn each_rule_has_its_row_of_delays() {
        let with = |backoff| RetryPolicy { backoff, ..RetryPolicy::default() };
        assert_eq!(seconds(&RetryPolicy::default()), [10, 20, 40, 80, 160, 320]);
        assert_eq!(seconds(&with(Backoff::Power10)), [10, 100, 1_000, 10_000, 86_400, 86_400]);
        assert_eq!(seconds(&with(Backoff::Linear { step: Duration::from_secs(7) })), [7, 14, 21, 28, 35, 42]);
        let list = vec![Duration::from_secs(1), Duration::from_secs(5)];
        assert_eq!(seconds(&with(Backoff::Fixed(list))), [1, 5, 5, 5, 5, 5]);
        assert_eq!(seconds(&with(Backoff::Fixed(Vec::new()))), [0; 6]);
    }

    proptest::proptest! {
        #[test]
        fn no_delay_is_beyond_the_cap(failures in 0u32.., chance in 0f64..=1.0, factor in 0f64..1e9, base in 0u64..1 << 40) {
            let policy = RetryPolicy {
                backoff: Backoff::Exponential { base: Duration::from_secs(base), factor },
                ..RetryPolicy::default()
            };
            proptest::prop_assert!(policy.delay(failures, chance) <= policy.cap);
        }
    }
}

//! Samples, and what becomes of them: ratios round by round, and JSON in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::lab::machine::Machine;

/// What one experiment has seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// The experiment.
    pub experiment: String,
    /// When it ended, RFC 3339.
    pub ended: String,
    /// Where.
    pub machine: Machine,
    /// How often each measurement was made.
    pub rounds: u32,
    /// How long each took.
    pub seconds: u32,
    /// Whether rounds were kept in which other processes were busy.
    pub noisy: bool,
    /// Measurements by target and point.
    pub series: Vec<Series>,
}

/// One target at one point, in all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// What was measured.
    pub target: String,
    /// What was varied, such as the number of connections.
    pub point: String,
    /// A sample for each round.
    pub samples: Vec<Sample>,
}

/// One measurement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Answers a second.
    pub per_second: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    /// 99 % took no longer.
    pub p99_us: f64,
    /// 99.9 % took no longer.
    pub p999_us: f64,
    /// Answers that were none, or not 2xx.
    pub errors: u64,
    /// CPU time per answer in microseconds, by role.
    pub cpu_us: BTreeMap<String, f64>,
    /// Redis commands per answer.
    pub redis_commands: Option<f64>,
    /// Processors that others kept busy.
    pub others: f64,
    /// What only one experiment has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, f64>,
}

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Answers a second.
    PerSecond,
    /// Median latency.
    P50,
    /// 99th percentile.
    P99,
}

impl Measure {
    /// Its value in a sample.
    pub fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::PerSecond => sample.per_second,
            Self::P50 => sample.p50_us,
            Self::P99 => sample.p99_us,
        }
    }
}

/// The least, the middle and the most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { min, median, max })
    }
}

impl Series {
    /// The spread of something over all rounds.
    pub fn spread(&self, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().map(value))
    }
}

/// A target and a point.
pub type At<'a> = (&'a str, &'a str);

impl Results {
    /// One target at one point.
    pub fn series(&self, (target, point): At<'_>) -> Option<&Series> {
        self.series.iter().find(|series| series.target == target && series.point == point)
    }

    /// One over the other, round by round.
    pub fn ratio(&self, over: At<'_>, under: At<'_>, measure: Measure) -> Option<Spread> {
        let (over, under) = (self.series(over)?, self.series(under)?);
        let rounds = over.samples.iter().zip(&under.samples);
        Spread::of(rounds.map(|(over, under)| measure.of(over) / measure.of(under)))
    }

    /// The points, in the order in which they were measured.
    pub fn points(&self) -> Vec<&str> {
        distinct(self.series.iter().map(|series| series.point.as_str()))
    }

    /// The targets, in the order in which they were measured.
    pub fn targets(&self) -> Vec<&str> {
        distinct(self.series.iter().map(|series| series.target.as_str()))
    }

    /// Writes `<folder>/<experiment>.json`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join(format!("{}.json", self.experiment));
        let json = serde_json::to_string_pretty(self)?;
        fs::write(&path, json).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Reads what [`Results::save`] wrote; `None` if nothing did.
    ///
    /// # Errors
    /// The file is not what was written.
    pub fn load(folder: &Path, experiment: &str) -> anyhow::Result<Option<Self>> {
        let path = folder.join(format!("{experiment}.json"));
        let Ok(json) = fs::read_to_string(&path) else { return Ok(None) };
        let results = serde_json::from_str(&json);
        results.map(Some).with_context(|| format!("{} is broken: remove it", path.display()))
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Results with these answers a second, which are also the latencies.
    pub(crate) fn results(series: &[(&str, &str, &[f64])]) -> Results {
        let series = series.iter().map(|(target, point, values)| Series {
            target: (*target).to_owned(),
            point: (*point).to_owned(),
            samples: values
                .iter()
                .map(|&it| Sample {
                    per_second: it,
                    p50_us: it,
                    p99_us: it,
                    p999_us: it,
                    ..Sample::default()
                })
                .collect(),
        });
        let machine = Machine {
            processor: "abacus".to_owned(),
            processors: 2,
            memory_gib: 1.0,
            kernel: "1.0".to_owned(),
            programs: Vec::new(),
        };
        Results {
            experiment: "concurrency".to_owned(),
            ended: "2026-11-21T12:00:00Z".to_owned(),
            machine,
            rounds: 3,
            seconds: 2,
            noisy: false,
            series: series.collect(),
        }
    }

    #[test]
    fn an_even_number_has_its_median_between_the_middle_two() {
        assert_eq!(Spread::of([4.0, 1.0, 3.0]), Some(Spread { min: 1.0, median: 3.0, max: 4.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_by_round_hides_what_slows_both() {
        let results = results(&[("a", "1", &[50.0, 5.0, 60.0]), ("b", "1", &[100.0, 10.0, 100.0])]);

        let ratio = results.ratio(("a", "1"), ("b", "1"), Measure::PerSecond);

        assert_eq!(ratio, Some(Spread { min: 0.5, median: 0.5, max: 0.6 }));
        assert_eq!(results.ratio(("a", "1"), ("b", "2"), Measure::P99), None);
    }

    #[test]
    fn results_survive_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let written = results(&[("a", "1", &[1.0])]);

        written.save(folder.path()).expect("written");
        let read = Results::load(folder.path(), "concurrency").expect("read").expect("there");

        assert_eq!(read.series[0].samples[0].per_second, 1.0);
        assert!(Results::load(folder.path(), "nothing").expect("no error").is_none());
    }
}

//! The requests a second that one processor serves, and the processors that a load needs.

use crate::lab::process::Role;
use crate::markdown::{grouped, head, row};
use crate::results::{Results, Spread};

/// Where costs are taken from: the most connections, where batches are largest.
const LOADED: (&str, &str) = ("gateway", "256");

/// How much of a processor to plan with: the rest is for bursts, failures and upgrades.
const UTILISATION: f64 = 0.6;

/// Requests a second to plan for.
const LOADS: [f64; 4] = [1e3, 1e4, 1e5, 1e6];

/// Processors by load. Redis executes commands on one thread, so each processor of it is a primary of its
/// own, with streams of its own.
pub(super) fn table(concurrency: &Results) -> Option<String> {
    let costs = [Role::Gateway, Role::Broker, Role::Worker].map(|role| cost(concurrency, role));
    let [Some(gateway), Some(redis), Some(worker)] = costs else { return None };
    let roles = [("ingress", gateway), ("Redis", redis), ("worker, besides its work", worker)];
    let mut table = head(&["", "CPU per request, µs", "requests/s, one processor full", "to plan with"], 1);
    for (name, us) in roles {
        let full = 1e6 / us;
        row(&mut table, [name.to_owned(), format!("{us:.1}"), grouped(full), grouped(full * UTILISATION)]);
    }
    let processors = |us: f64, load: f64| (load * us / 1e6 / UTILISATION).ceil();
    let mut sizes = head(&["requests/s", "ingress processors", "Redis primaries", "worker processors"], 0);
    for load in LOADS {
        let counts = roles.map(|(_, us)| format!("{:.0}", processors(us, load)));
        row(&mut sizes, std::iter::once(grouped(load)).chain(counts));
    }
    Some(format!("{table}\n{sizes}"))
}

/// CPU time per answer, in microseconds.
fn cost(results: &Results, role: Role) -> Option<f64> {
    let (target, point) = LOADED;
    let series = results.series.iter().find(|it| it.target == target && it.point == point)?;
    let spent = series.samples.iter().filter_map(|sample| sample.cpu_us.get(role.name()).copied());
    Spread::of(spent).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn a_load_takes_the_processors_of_its_cpu_time_as_planned() {
        let mut results = results(&[("gateway", "256", &[1.0])]);
        for (role, us) in [(Role::Gateway, 24.0), (Role::Broker, 12.0), (Role::Worker, 6.0)] {
            results.series[0].samples[0].cpu_us.insert(role.name().to_owned(), us);
        }

        let table = table(&results).expect("all three are known");

        assert!(table.contains("| Redis | 12.0 | 83,333 | 50,000 |"), "{table}");
        assert!(table.contains("| 100,000 | 4 | 2 | 1 |"), "{table}");
    }

    #[test]
    fn without_the_cost_of_each_there_is_no_table() {
        assert_eq!(table(&results(&[("gateway", "256", &[1.0])])), None);
    }
}

//! What a process counts: the Prometheus text of its admin listener.

use std::collections::BTreeMap;

/// Scrapes `http://{admin}/metrics`; empty if it does not answer.
pub async fn scrape(client: &reqwest::Client, admin: &str) -> BTreeMap<String, f64> {
    let Ok(answer) = client.get(format!("http://{admin}/metrics")).send().await else {
        return BTreeMap::new();
    };
    parse(&answer.text().await.unwrap_or_default())
}

/// By name and labels, as written.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// The sum over all series of `name`.
pub fn total(metrics: &BTreeMap<String, f64>, name: &str) -> f64 {
    let is_series = |series: &str| series.split('{').next() == Some(name);
    metrics.iter().filter(|(series, _)| is_series(series)).map(|(_, value)| value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_summed_and_others_are_not() {
        let metrics = parse("# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3\na_b 7\n");

        assert_eq!(total(&metrics, "a") as u64, 5);
        assert_eq!(total(&metrics, "a_b") as u64, 7);
        assert_eq!(total(&metrics, "missing") as u64, 0);
    }
}

//! Plots as SVG: a line for each target, the median with the least and the most of the rounds.

use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::results::{Results, Sample, Spread};

/// What one plot shows.
pub(super) struct Plot<'a> {
    /// Above it.
    pub(super) title: &'a str,
    /// Below it: what is varied.
    pub(super) across: &'a str,
    /// Beside it: what is measured.
    pub(super) up: &'a str,
    /// The value of a sample.
    pub(super) value: fn(&Sample) -> f64,
    /// Linear from 0, or logarithmic.
    pub(super) scale: Scale,
}

/// How values become heights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As they are, from 0: for rates.
    Linear,
    /// Their magnitude: for latencies, which differ by orders of it.
    Logarithmic,
}

impl Scale {
    fn height(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(1e-3).log10(),
        }
    }

    fn value(self, height: f64) -> f64 {
        match self {
            Self::Linear => height,
            Self::Logarithmic => 10f64.powf(height),
        }
    }

    /// From the lowest to the highest, with some air.
    fn range(self, lines: &[(&str, Line)]) -> Range<f64> {
        let spreads = || lines.iter().flat_map(|(_, line)| line).map(|(_, spread)| *spread);
        match self {
            Self::Linear => 0.0..spreads().map(|spread| spread.max).fold(1.0, f64::max) * 1.1,
            Self::Logarithmic => {
                let lowest = spreads().map(|spread| self.height(spread.min)).fold(f64::INFINITY, f64::min);
                let highest = spreads().map(|spread| self.height(spread.max)).fold(lowest, f64::max);
                lowest - 0.1..highest + 0.1
            }
        }
    }
}

const SIZE: (u32, u32) = (720, 400);
/// Beside the last point, so that no curve runs through it: a share of the width.
const ROOM_FOR_LEGEND: f64 = 0.3;
/// Distinguishable without colour vision (Okabe and Ito).
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

type Line = Vec<(f64, Spread)>;

/// Draws `results` into the file `path`.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(results: &Results, plot: &Plot<'_>, path: &Path) -> anyhow::Result<()> {
    // The library's errors borrow from what is drawn on.
    try_draw(results, plot, path).map_err(|error| anyhow!("{} cannot be drawn: {error}", path.display()))
}

fn try_draw(results: &Results, plot: &Plot<'_>, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (points, scale) = (results.points(), plot.scale);
    let lines: Vec<(&str, Line)> = results
        .targets()
        .into_iter()
        .map(|target| (target, line(results, &points, target, plot.value)))
        .collect();

    let across = points.len() as f64;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(plot.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(-0.3..across - 0.7 + across * ROOM_FOR_LEGEND, scale.range(&lines))?;
    let point_at = |at: &f64| {
        let index = at.round();
        let exact = (at - index).abs() < 1e-6 && index >= 0.0;
        points.get(index as usize).filter(|_| exact).map_or(String::new(), |point| (*point).to_owned())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(points.len() * 3)
        .x_label_formatter(&point_at)
        .y_label_formatter(&|value| short(scale.value(*value)))
        .label_style(("sans-serif", 12))
        .axis_desc_style(("sans-serif", 13))
        .x_desc(plot.across)
        .y_desc(plot.up)
        .draw()?;
    for ((target, line), color) in lines.into_iter().zip(COLORS.iter().cycle()) {
        let medians = line.iter().map(|(at, spread)| (*at, scale.height(spread.median)));
        chart
            .draw_series(LineSeries::new(medians, color.stroke_width(2)))?
            .label(target)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(line.iter().map(|(at, spread)| {
            let [min, median, max] = [spread.min, spread.median, spread.max].map(|it| scale.height(it));
            ErrorBar::new_vertical(*at, min, median, max, color.filled(), 7)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 12))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

fn line(results: &Results, points: &[&str], target: &str, value: fn(&Sample) -> f64) -> Line {
    let at = |(index, point): (usize, &&str)| {
        Some((index as f64, results.series((target, point))?.spread(value)?))
    };
    points.iter().enumerate().filter_map(at).collect()
}

fn short(value: f64) -> String {
    match value {
        10_000.0.. => format!("{:.0}k", value / 1_000.0),
        10.0.. => format!("{value:.0}"),
        0.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn magnitudes_are_labelled_with_their_values() {
        let scale = Scale::Logarithmic;

        assert_eq!(
            [1.0, 20.0, 30_000.0].map(|it| short(scale.value(scale.height(it)))),
            ["1.0", "20", "30k"]
        );
    }

    #[test]
    fn a_plot_names_its_targets_and_points() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plot.svg");
        let results = results(&[
            ("gateway", "1", &[10.0, 12.0]),
            ("direct", "1", &[20.0, 20.0]),
            ("gateway", "256", &[15_000.0, 16_000.0]),
        ]);
        let rate = Plot {
            title: "Rate",
            across: "connections",
            up: "answers/s",
            value: |it| it.per_second,
            scale: Scale::Linear,
        };

        draw(&results, &rate, &path).expect("drawn");

        let svg = std::fs::read_to_string(&path).expect("written");
        for text in ["Rate", "connections", "answers/s", "gateway", "direct", "256", "10k"] {
            assert!(svg.contains(text), "no {text} in\n{svg}");
        }
    }
}

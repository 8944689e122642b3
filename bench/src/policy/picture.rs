//! The miss ratio against the size of the pool, drawn: a panel for each view, a line for each
//! policy.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use crate::policy::lab::Column;
use crate::policy::replay::View;
use crate::policy::report::TraceReport;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const PANEL_WIDTH: u32 = 620;
const HEIGHT: u32 = 600;
const LEGEND_WIDTH: u32 = 190;
const TITLE_HEIGHT: u32 = 44;
const FONT: &str = "sans-serif";

/// Told apart by those who cannot tell red from green, and dark enough for paper: the palette of
/// Okabe and Ito without its yellow, and two more.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(110, 80, 60),
    RGBColor(120, 40, 140),
];

/// One line of a panel.
struct Line {
    name: String,
    colour: RGBColor,
    /// Which of the marks its points have.
    mark: usize,
    /// Pool as a percentage of the footprint, misses as a percentage of the accesses.
    points: Vec<(f64, f64)>,
}

/// Draws one trace into a file.
///
/// # Errors
///
/// If it cannot be drawn or written.
pub(crate) fn draw(report: &TraceReport, path: &Path) -> Result<()> {
    let text = render(report).map_err(|error| anyhow!("cannot draw: {error}"))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What went wrong, in words: the types of the library name the backend they came from.
fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn render(report: &TraceReport) -> Result<String, String> {
    let views: Vec<View> = [View::All, View::Faults]
        .into_iter()
        .filter(|view| {
            report.pools.iter().any(|each| each.runs.iter().any(|run| run.view == *view))
        })
        .collect();
    let panels = u32::try_from(views.len()).map_err(words)?;
    let mut text = String::new();
    {
        let size = (panels * PANEL_WIDTH + LEGEND_WIDTH, HEIGHT);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).map_err(words)?;
        let (title, rest) = root.split_vertically(TITLE_HEIGHT);
        let style = (FONT, 22).into_font().color(&BLACK);
        title.draw(&Text::new(title_of(report), (18, 14), style)).map_err(words)?;
        let (left, legend) = rest.split_horizontally(panels * PANEL_WIDTH);
        let bounds = bounds(&report.pools, &views);
        for (panel, view) in left.split_evenly((1, views.len())).iter().zip(&views) {
            draw_panel(panel, report, *view, bounds)?;
        }
        let lines = views.first().map(|view| lines_of(report, *view)).unwrap_or_default();
        draw_legend(&legend, &lines)?;
        root.present().map_err(words)?;
    }
    Ok(text)
}

fn title_of(report: &TraceReport) -> String {
    let head = &report.trace;
    let what = if head.recorded.is_some() { "misses of recorded faults" } else { "miss ratio" };
    format!("{}: {what} by size of the pool", head.name)
}

/// The pools from the smallest to the largest, and the ratios, with some air around.
fn bounds(columns: &[Column], views: &[View]) -> [(f64, f64); 2] {
    let runs = columns.iter().flat_map(|column| &column.runs);
    let seen = runs.filter(|run| views.contains(&run.view)).map(|run| run.figures.miss_ratio);
    let least = columns.iter().filter_map(|column| Some(column.optimum.as_ref()?.miss_ratio));
    let ratios: Vec<f64> = seen.chain(least).map(|ratio| ratio * 100.0).collect();
    let shares: Vec<f64> = columns.iter().map(|column| column.share * 100.0).collect();
    let low = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let (bottom, top) = (low(&ratios), high(&ratios));
    let step = if top - bottom > 20.0 { 10.0 } else { 2.0 };
    [
        (low(&shares) / 1.15, high(&shares) * 1.15),
        ((bottom / step).floor() * step, (top / step).ceil().max(bottom / step + 1.0) * step),
    ]
}

fn draw_panel(
    area: &Area<'_>,
    report: &TraceReport,
    view: View,
    [x, y]: [(f64, f64); 2],
) -> Result<(), String> {
    let caption = match view {
        View::All => "every access is seen",
        View::Faults => "only faults are seen",
    };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 18))
        .margin(12)
        .margin_right(20)
        .x_label_area_size(52)
        .y_label_area_size(64)
        .build_cartesian_2d((x.0..x.1).log_scale().with_key_points(ticks(report)), y.0..y.1)
        .map_err(words)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(222, 222, 222))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .x_desc("pool, % of all pages of the trace (logarithmic)")
        .y_desc("accesses that miss, %")
        .x_label_formatter(&|share| format!("{}", (share * 10.0).round() / 10.0))
        .y_label_formatter(&|ratio| format!("{ratio:.0}"))
        .y_labels(8)
        .draw()
        .map_err(words)?;
    for line in lines_of(report, view) {
        let style = line.colour.stroke_width(if line.name == OPTIMUM { 3 } else { 2 });
        chart.draw_series(LineSeries::new(line.points.iter().copied(), style)).map_err(words)?;
        for point in &line.points {
            let at = chart.backend_coord(point);
            let area = chart.plotting_area().strip_coord_spec();
            let (left, top) = area.get_base_pixel();
            draw_mark(&area, (at.0 - left, at.1 - top), &line)?;
        }
    }
    Ok(())
}

const OPTIMUM: &str = "optimum (Belady)";

/// One tick for each pool, but none that would lie on another.
fn ticks(report: &TraceReport) -> Vec<f64> {
    let mut ticks: Vec<f64> = Vec::new();
    for share in report.pools.iter().map(|column| column.share * 100.0) {
        if ticks.last().is_none_or(|last| share / last > 1.12) {
            ticks.push(share);
        }
    }
    ticks
}

/// A line for each policy, in the order of the runs, and the optimum.
fn lines_of(report: &TraceReport, view: View) -> Vec<Line> {
    let columns = &report.pools;
    let mut names: Vec<&str> = Vec::new();
    for run in columns.iter().flat_map(|column| &column.runs) {
        if !names.contains(&run.policy.as_str()) {
            names.push(&run.policy);
        }
    }
    let mut lines: Vec<Line> = (names.iter().enumerate())
        .map(|(mark, name)| Line {
            name: (*name).to_owned(),
            colour: COLOURS[mark % COLOURS.len()],
            mark,
            points: columns
                .iter()
                .filter_map(|column| {
                    let run = column.run(name, view)?;
                    Some((column.share * 100.0, run.figures.miss_ratio * 100.0))
                })
                .collect(),
        })
        .collect();
    let least: Vec<(f64, f64)> = columns
        .iter()
        .filter_map(|column| {
            Some((column.share * 100.0, column.optimum.as_ref()?.miss_ratio * 100.0))
        })
        .collect();
    if !least.is_empty() {
        let name = OPTIMUM.to_owned();
        lines.push(Line { name, colour: BLACK, mark: usize::MAX, points: least });
    }
    lines
}

/// Marks differ in shape as well, for those who print without colours.
fn draw_mark(area: &Area<'_>, (x, y): (i32, i32), line: &Line) -> Result<(), String> {
    let style = line.colour.filled();
    let hollow = line.colour.stroke_width(2);
    let polygon = |points: &[(i32, i32)]| {
        let points: Vec<_> = points.iter().map(|(right, down)| (x + right, y + down)).collect();
        area.draw(&Polygon::new(points, style))
    };
    let drawn = match line.mark {
        0 => area.draw(&Circle::new((x, y), 5, style)),
        1 => polygon(&[(-5, -5), (5, -5), (5, 5), (-5, 5)]),
        2 => polygon(&[(0, -6), (6, 5), (-6, 5)]),
        3 => polygon(&[(0, -7), (6, 0), (0, 7), (-6, 0)]),
        4 => polygon(&[(0, 6), (6, -5), (-6, -5)]),
        5 => area.draw(&Circle::new((x, y), 5, hollow)),
        6 => area.draw(&Cross::new((x, y), 5, hollow)),
        7 => polygon(&[(-6, -2), (6, -2), (6, 2), (-6, 2)]),
        _ => polygon(&[(-3, -3), (3, -3), (3, 3), (-3, 3)]),
    };
    drawn.map_err(words)
}

fn draw_legend(area: &Area<'_>, lines: &[Line]) -> Result<(), String> {
    for (row, line) in (0..).zip(lines) {
        let y = 54 + row * 28;
        let width = if line.name == OPTIMUM { 3 } else { 2 };
        let path = PathElement::new(vec![(6, y), (46, y)], line.colour.stroke_width(width));
        area.draw(&path).map_err(words)?;
        draw_mark(area, (26, y), line)?;
        let style = (FONT, 16).into_font().color(&BLACK);
        area.draw(&Text::new(line.name.clone(), (56, y - 9), style)).map_err(words)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lab;
    use crate::policy::pools;
    use crate::policy::scenario::{self, Spec};

    #[test]
    fn a_picture_has_every_line_and_names_its_axes() {
        let spec = Spec { pages: 400, accesses: Some(2000), seed: 1 };
        let trace = scenario::make("zipf", spec).expect("a scenario").trace;
        let sizes = ["10%", "30%"].map(|text| text.parse().expect("a size"));
        let pools = sizes.map(|size| pools::pool(&trace, size).expect("it holds 16 pages"));
        let views = [View::All, View::Faults];
        let columns = lab::run(&trace, &pools, &["lru".to_owned()], &views).expect("it runs");
        let text = render(&TraceReport::new(&trace, columns)).expect("it can be drawn");
        for part in ["lru", OPTIMUM, "accesses that miss, %", "pool, %", "only faults are seen"] {
            assert!(text.contains(part), "{part} is missing");
        }
        let of_lru = text.split("<polyline").filter(|part| part.contains("#0072B2"));
        assert_eq!(of_lru.count(), 3, "one in each panel, and one that is named");
    }
}

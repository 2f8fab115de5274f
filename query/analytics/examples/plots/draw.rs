//! Figures of panels that share the time axis.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

pub const GREY: RGBColor = RGBColor(90, 90, 90);
pub const BLUE: RGBColor = RGBColor(31, 105, 180);
pub const ORANGE: RGBColor = RGBColor(200, 100, 10);
pub const RED: RGBColor = RGBColor(190, 30, 45);

const WIDTH: u32 = 900;

/// Panels, one below the other.
pub struct Figure {
    pub title: &'static str,
    /// The height of each panel, in pixels.
    pub height: u32,
    pub panels: Vec<Panel>,
}

/// Curves and bands over times in seconds since 1970.
pub struct Panel {
    pub unit: &'static str,
    pub curves: Vec<Curve>,
    pub bands: Vec<Band>,
    /// Times that are shaded.
    pub marked: Vec<(i64, i64)>,
}

/// A line through its points, or dots; NaN interrupts a line. Without a name it is not in the legend.
pub struct Curve {
    pub name: &'static str,
    pub points: Vec<(i64, f64)>,
    pub colour: RGBColor,
    pub dots: bool,
}

/// What is between two lines.
pub struct Band {
    pub name: &'static str,
    pub lower: Vec<(i64, f64)>,
    pub upper: Vec<(i64, f64)>,
    pub colour: RGBColor,
}

impl Figure {
    pub fn draw(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        const TITLE: u32 = 34;
        let size = (WIDTH, TITLE + self.height * self.panels.len() as u32);
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (title, below) = root.split_vertically(TITLE);
        title.draw(&Text::new(self.title, (62, 12), ("sans-serif", 17)))?;
        for (panel, area) in self.panels.iter().zip(below.split_evenly((self.panels.len(), 1))) {
            panel.draw(&area)?;
        }
        root.present()?;
        Ok(())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let (times, values) = self.ranges();
        let mut chart = ChartBuilder::on(area)
            .margin_left(12)
            .margin_right(14)
            .margin_bottom(6)
            .x_label_area_size(22)
            .y_label_area_size(62)
            .build_cartesian_2d(days(times.start)..days(times.end), values.clone())?;
        let shade = |&(left, right): &(i64, i64)| {
            let corners =
                [(days(left.max(times.start)), values.start), (days(right.min(times.end)), values.end)];
            Rectangle::new(corners, RED.mix(0.08).filled())
        };
        let is_shown = |window: &&(i64, i64)| window.0 < times.end && window.1 > times.start;
        chart.draw_series(self.marked.iter().filter(is_shown).map(shade))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(BLACK.mix(0.1))
            .axis_style(BLACK.mix(0.5))
            .x_labels(10)
            .y_labels(5)
            .x_label_formatter(&|days| date(*days))
            .y_label_formatter(&|value| number(*value))
            .y_desc(self.unit)
            .label_style(("sans-serif", 13))
            .draw()?;
        for band in &self.bands {
            let corners = band.lower.iter().chain(band.upper.iter().rev()).copied();
            let corners: Vec<(f64, f64)> = corners
                .filter(|(_, value)| value.is_finite())
                .map(|(time, value)| (days(time), value))
                .collect();
            let style = band.colour.mix(0.2).filled();
            chart
                .draw_series(std::iter::once(Polygon::new(corners, style)))?
                .label(band.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], style));
        }
        for curve in &self.curves {
            let colour = curve.colour;
            let drawn = if curve.dots {
                let points = curve.points.iter().filter(|(_, value)| value.is_finite());
                chart.draw_series(
                    points.map(|&(time, value)| Circle::new((days(time), value), 2.5, colour.filled())),
                )?
            } else {
                chart.draw_series(lines(&curve.points).map(|line| PathElement::new(line, colour)))?
            };
            if curve.name.is_empty() {
                continue;
            }
            let drawn = drawn.label(curve.name);
            if curve.dots {
                drawn.legend(move |(x, y)| Circle::new((x + 9, y), 2.5, colour.filled()));
            } else {
                drawn.legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
            }
        }
        if self.curves.iter().any(|curve| !curve.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .label_font(("sans-serif", 13))
                .draw()?;
        }
        Ok(())
    }

    /// The times and values that are in the panel, with a little room above and below, and more for a legend.
    fn ranges(&self) -> (std::ops::Range<i64>, std::ops::Range<f64>) {
        let curves = self.curves.iter().flat_map(|curve| &curve.points);
        let bands = self.bands.iter().flat_map(|band| band.lower.iter().chain(&band.upper));
        let points: Vec<(i64, f64)> = curves.chain(bands).copied().collect();
        let (first, last) = points
            .iter()
            .fold((i64::MAX, i64::MIN), |(low, high), (time, _)| (low.min(*time), high.max(*time)));
        let values = points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let room = 0.06 * (high - low);
        let above = if self.curves.iter().any(|curve| !curve.name.is_empty()) { 5.0 * room } else { room };
        (first..last, low - room..high + above)
    }
}

/// The parts of a line between missing values, at times in days.
fn lines(points: &[(i64, f64)]) -> impl Iterator<Item = Vec<(f64, f64)>> {
    let in_days = |line: &[(i64, f64)]| line.iter().map(|&(time, value)| (days(time), value)).collect();
    points.split(|(_, value)| !value.is_finite()).filter(|line| !line.is_empty()).map(in_days)
}

/// Days since 1970, of which the axis marks whole ones.
fn days(time: i64) -> f64 {
    time as f64 / 86_400.0
}

/// A number without a sign of zero, and without zeros at its end.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The day and month, in UTC.
fn date(days: f64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // Years that begin in March, so that a leap day is the last day of its year.
    let days = days.floor() as i64 + 719_468;
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    format!("{day} {}", MONTHS[((month + 2) % 12) as usize])
}

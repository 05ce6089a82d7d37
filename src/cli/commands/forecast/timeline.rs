//! A forecast drawn: for each worker group its busy slots over the planned time, and what waits for one above them. Must not
//! know where it is written.

use std::fmt::Write as _;

use hortator_core::time::Timestamp;
use hortator_simulations::forecast::Forecast;
use hortator_simulations::forecast_sums::Curve;

/// Of the curves; a point for each pixel.
const WIDE: usize = 1_200;
const HIGH: f64 = 110.0;
/// Room for the names, and for the last label.
const LEFT: usize = 150;
const RIGHT: usize = 40;
/// Room for the title and the legend, between two strips, and for the days.
const TOP: f64 = 58.0;
const BETWEEN: f64 = 26.0;
const FOOT: f64 = 30.0;
const DAY: u64 = 86_400_000_000;

const BUSY: &str = "#3f7fbf";
const WAITS: &str = "#d9534f";

pub(super) fn drawn(forecast: &Forecast) -> String {
    let mut groups: Vec<&str> = forecast.bands.iter().map(|band| band.group.as_str()).collect();
    groups.dedup();
    let foot = TOP + (HIGH + BETWEEN) * groups.len() as f64 - BETWEEN;
    let (width, height) = (LEFT + WIDE + RIGHT, foot + FOOT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n",
        title = title(forecast),
    );
    legend(&mut svg);
    days(&mut svg, forecast, foot);
    for (number, group) in groups.iter().enumerate() {
        strip(&mut svg, forecast, group, TOP + (HIGH + BETWEEN) * number as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn title(forecast: &Forecast) -> String {
    let began = Timestamp(forecast.began.0 / 1_000_000 * 1_000_000);
    format!("{} runs in {} from {began}", forecast.runs.len(), forecast.lasts)
}

fn legend(svg: &mut String) {
    let mut x = LEFT;
    for (colour, word) in [(BUSY, "busy slots"), (WAITS, "task runs that wait for one")] {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"33\" width=\"11\" height=\"11\" fill=\"{colour}\"/><text x=\"{}\" y=\"43\">{word}</text>",
            x + 16
        );
        x += 120;
    }
}

/// A line at each midnight, by UTC, with the day that begins there.
fn days(svg: &mut String, forecast: &Forecast, foot: f64) {
    let began = forecast.began.0 as u64;
    let first = began.div_ceil(DAY) * DAY;
    for midnight in (first..=began + forecast.lasts.0).step_by(DAY as usize) {
        let x = LEFT as f64 + WIDE as f64 * (midnight - began) as f64 / forecast.lasts.0.max(1) as f64;
        let day = Timestamp(midnight as i64).to_string();
        let day = day.get(5..10).unwrap_or_default();
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{foot:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{day}</text>",
            TOP,
            foot + 18.0
        );
    }
}

fn strip(svg: &mut String, forecast: &Forecast, group: &str, top: f64) {
    let own = forecast.bands.iter().filter(|band| band.group.as_str() == group);
    let slots: u64 = own.map(|band| band.workers * u64::from(band.slots)).sum();
    let most = Curve::of(forecast, group).most(forecast.began, forecast.lasts, WIDE);
    let peak = most.iter().map(|(busy, waiting)| busy + waiting).max().unwrap_or(0);
    let full = peak.max(slots).max(1);
    let y = |count: u64| top + HIGH - HIGH * count as f64 / full as f64;
    let foot = top + HIGH;
    let area = |heights: Vec<u64>, colour: &str| {
        let point = |(place, count): (usize, &u64)| format!("{},{:.1} ", LEFT + place, y(*count));
        let points: String = heights.iter().enumerate().map(point).collect();
        format!(
            "<polygon points=\"{LEFT},{foot:.1} {points}{},{foot:.1}\" fill=\"{colour}\"/>\n",
            LEFT + WIDE - 1
        )
    };
    if most.iter().any(|(_, waiting)| *waiting > 0) {
        svg.push_str(&area(most.iter().map(|(busy, waiting)| busy + waiting).collect(), WAITS));
    }
    svg.push_str(&area(most.iter().map(|(busy, _)| *busy).collect(), BUSY));
    let right = LEFT + WIDE;
    let line = y(slots);
    let _ = writeln!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{foot:.1}\" y2=\"{foot:.1}\" stroke=\"#999\"/>\
         <line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{line:.1}\" y2=\"{line:.1}\" stroke=\"black\" stroke-dasharray=\"4\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{slots} slots</text>\
         <text x=\"8\" y=\"{:.1}\" font-weight=\"bold\">{group}</text>",
        LEFT - 6,
        line + 4.0,
        top + HIGH / 2.0 + 4.0
    );
    if peak > slots {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{WAITS}\">{peak}</text>",
            LEFT - 6,
            top + 9.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hortator_core::time::Span;
    use hortator_simulations::world::Band;

    #[test]
    fn a_strip_for_each_group_and_a_line_for_each_midnight() {
        let band = |group: &str, workers| Band {
            group: group.parse().unwrap(),
            workers,
            slots: 4,
            equipment: Default::default(),
        };
        let forecast = Forecast {
            began: Timestamp(1_700_000_000_000_000),
            lasts: Span::from_secs(7 * 86_400),
            runs: Vec::new(),
            ledger: Vec::new(),
            bands: vec![band("default", 20), band("gpu", 2)],
            late: Span::from_secs(60),
            sources: Default::default(),
            chaos: None,
        };
        let svg = drawn(&forecast);
        let count = |part: &str| svg.matches(part).count();
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        assert_eq!((count("<polygon"), count("#ddd"), count(">80 slots<"), count(">8 slots<")), (2, 7, 1, 1));
        assert!(svg.contains(">11-15</text>") && svg.contains(">11-21</text>"), "{svg}");
        assert_eq!(count("<text"), count("</text>"));
        assert_eq!(count("task runs that wait"), 1);
    }
}

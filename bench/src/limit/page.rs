//! The limits as a page for a browser.

use super::Summary;
use super::summary::{Limit, curve};
use super::table::{text, what};
use crate::duration::show;
use crate::page::{Chart, Page, Series, Style};

/// Latency over load for each target, throughput over it too where a law was fitted, and the whole
/// text.
pub(crate) fn page(summary: &Summary) -> String {
    let mut page = Page::new(&format!("{}: the limits", summary.scenario), &text(summary));
    for limit in &summary.limits {
        let mut charts = vec![("response time over load".to_owned(), latency(limit).svg())];
        if limit.usl.is_some() {
            let caption = "throughput and the Universal Scalability Law";
            charts.push((caption.to_owned(), throughput(limit).svg()));
        }
        page.row(&limit.target, &charts);
    }
    page.html()
}

fn latency(limit: &Limit) -> Chart {
    let of = |name: &str, ns: fn(&super::Trial) -> u64| Series {
        name: name.into(),
        points: curve(&limit.trials, |trial| ns(trial) as f64),
        style: Style::Line,
    };
    let band = match limit.interval {
        [Some(low), Some(high)] => vec![(low, high, "limit".to_owned())],
        [Some(low), None] => vec![(low, low, "at least".to_owned())],
        _ => Vec::new(),
    };
    Chart {
        x: what(limit.variable),
        series: vec![
            of("p50", |trial| trial.response_ns.p50),
            of("p95", |trial| trial.response_ns.p95),
            of("p99", |trial| trial.response_ns.p99),
        ],
        bands: band,
        write_y: show,
    }
}

fn throughput(limit: &Limit) -> Chart {
    let points = curve(&limit.trials, |trial| trial.throughput);
    let most = points.iter().map(|point| point.0).fold(1.0, f64::max);
    let model = limit.usl.iter().flat_map(|usl| {
        let steps = (0..=50).map(move |step| most.powf(f64::from(step) / 50.0));
        steps.map(|load| (load, usl.throughput(load)))
    });
    Chart {
        x: what(limit.variable),
        series: vec![
            Series { name: "measured".into(), points, style: Style::Dots },
            Series { name: "law".into(), points: model.collect(), style: Style::Model },
        ],
        bands: Vec::new(),
        write_y: |rate| format!("{rate}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_its_curves_and_the_text_is_below() {
        let summary = Summary::example();
        let html = page(&summary);
        assert_eq!(html.matches("<svg").count(), summary.limits.len());
        assert_eq!(html.matches("<polyline").count(), 3 * summary.limits.len());
        assert!(html.contains(">limit</text>") && html.contains("bracketed to 5 %"), "{html}");
        assert!(!html.contains("NaN"));
    }
}

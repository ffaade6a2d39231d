//! The statistics of all experiments, each with where it comes from.
//!
//! | what | where | source |
//! | --- | --- | --- |
//! | intervals of anything that is computed from blocks | [`estimates`] | the bootstrap: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 19; its percentiles for few blocks: Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015, section 4.2 |
//! | whether a series changed its level | [`change_point()`] | Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 28, 1979 |
//! | when there is enough to know, and what looking costs | [`FixedWidth`] | Chow and Robbins, "On the asymptotic theory of fixed-width sequential confidence intervals for the mean", Annals of Mathematical Statistics 36, 1965; Singham and Schruben, "Finite-sample performance of absolute precision stopping rules", INFORMS Journal on Computing 24, 2012 |
//! | how many are in a system | [`in_system`] | Little, "A proof for the queuing formula L = λW", Operations Research 9, 1961 |
//! | where a curve reaches a value | [`rate_at`] | isotonic regression: Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference under Order Restrictions", 1972, section 1.2 |

mod bootstrap;
mod change_point;
mod curve;
mod little;
mod sample;
mod sequential;

pub(crate) use bootstrap::{CONFIDENCE, Estimate, estimates, estimates_at};
pub(crate) use change_point::change_point;
pub(crate) use curve::rate_at;
pub(crate) use little::in_system;
pub(crate) use sample::{Merger, Sample};
pub(crate) use sequential::FixedWidth;

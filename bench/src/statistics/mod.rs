//! The statistics of all experiments, each with where it comes from.
//!
//! | what | where | source |
//! | --- | --- | --- |
//! | intervals of anything that is computed from blocks | [`estimates`] | the bootstrap: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 19; its percentiles for few blocks: Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015, section 4.2 |
//! | whether a series changed its level | [`change_point()`] | Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 28, 1979 |
//! | when there is enough to know, and what looking costs | [`FixedWidth`] | Chow and Robbins, "On the asymptotic theory of fixed-width sequential confidence intervals for the mean", Annals of Mathematical Statistics 36, 1965; Singham and Schruben, "Finite-sample performance of absolute precision stopping rules", INFORMS Journal on Computing 24, 2012 |
//! | how many are in a system | [`in_system`] | Little, "A proof for the queuing formula L = λW", Operations Research 9, 1961 |
//! | where a curve reaches a value | [`rate_at`] | isotonic regression: Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference under Order Restrictions", 1972, section 1.2 |
//! | a mean's interval, also over equal stretches of time; how far values lie from their mean | [`half_interval`], [`relative_deviation`] | Student, "The probable error of a mean", Biometrika 6, 1908; batch means: Law, "Simulation Modeling and Analysis", section 9.5.3 |
//! | how far the means of a few and of many are apart | [`difference`] | Mickey and Brown, "Bounds on the distribution functions of the Behrens-Fisher statistic", Annals of Mathematical Statistics 37, 1966 |
//! | how fast something grows | [`slope`] | least squares: Draper and Smith, "Applied Regression Analysis", 1998, section 1.2 |
//! | where a search has put its limit | [`Posterior`] | Kontsevich and Tyler, "Bayesian adaptive estimation of psychometric slope and threshold", Vision Research 39, 1999 |
//! | where a latency curve bends | [`knee()`] | Kneedle: Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a haystack", ICDCS workshops 2011 |
//! | how throughput grows with concurrency | [`Usl`] | the Universal Scalability Law: Gunther, "Guerrilla Capacity Planning", 2007, section 4.4; fitted by Levenberg and Marquardt: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal 11, 1963 |
//! | whether some suffer more than others | [`jain`] | Jain, Chiu and Hawe, "A quantitative measure of fairness", DEC-TR-301, 1984 |

mod bootstrap;
mod change_point;
mod curve;
mod fairness;
mod knee;
mod line;
mod little;
mod mean;
mod posterior;
mod sample;
mod sequential;
mod usl;

pub(crate) use bootstrap::{CONFIDENCE, Estimate, estimates, estimates_at};
pub(crate) use change_point::change_point;
pub(crate) use curve::{Reached, rate_at};
pub(crate) use fairness::jain;
pub(crate) use knee::knee;
pub(crate) use line::slope;
pub(crate) use little::in_system;
pub(crate) use mean::{difference, half_interval, relative_deviation};
pub(crate) use posterior::Posterior;
pub(crate) use sample::{Merger, Sample};
pub(crate) use sequential::FixedWidth;
pub(crate) use usl::Usl;

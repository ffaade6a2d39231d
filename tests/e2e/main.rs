//! On real servers, end to end: what may run side by side. The other files here measure, each in a
//! program of its own that has the machine to itself.

mod batches;
mod cancel;
mod check;
mod cleanup;
mod container;
mod counts;
mod errors;
mod faults;
mod http;
mod map;
mod matrix;
mod observers;
mod parameters;
mod pgbench_lines;
mod pgbench_options;
mod pgbench_scripts;
mod recordings;
mod rules;
mod statements;
mod suite;
mod tls;
mod validity;

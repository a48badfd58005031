//! `infra/template.yaml`: what the linters say, and that it agrees with what the program relies on.

mod alarm_stories;
mod alarms;
mod data;
mod examples;
mod functions;
mod linters;
mod permissions;
mod readme;
mod transformed;

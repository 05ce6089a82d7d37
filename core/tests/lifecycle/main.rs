//! Task runs, runs and workflows from beginning to end: stories as data, and properties over random commands.

mod definitions;
mod rules_oracle;
mod run_properties;
mod run_stories;
mod show;
mod task_properties;
mod task_stories;
mod window;
mod workflow_properties;
mod workflow_stories;
mod world;

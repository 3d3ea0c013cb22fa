use std::path::PathBuf;

use clap::Args;
use routes::Routes;
use service::config::ConfigError;
use streamgate::stream::StreamKey;

/// Which streams this worker serves.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Routes")]
pub struct RoutesArgs {
    /// The routes file, YAML or, with .toml, TOML; its streams are served instead of REQUEST_STREAM [default: none, the weather alone]
    #[arg(long, env = "ROUTES_FILE", value_name = "PATH")]
    pub routes_file: Option<PathBuf>,

    /// Serve these streams of the routes file only, separated by commas [default: all]
    #[arg(long, env = "ONLY_STREAMS", value_name = "STREAM", value_delimiter = ',')]
    pub only: Vec<StreamKey>,
}

impl RoutesArgs {
    /// The file and its streams.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let only: Vec<&str> = self.only.iter().map(StreamKey::as_str).collect();
        let only = only.join(",");
        let Some(file) = &self.routes_file else {
            return match self.only.is_empty() {
                true => Ok(()),
                false => Err(ConfigError::rule("ONLY_STREAMS", only, "needs ROUTES_FILE")),
            };
        };
        let routes = Routes::load(file).map_err(|faults| {
            ConfigError::rule("ROUTES_FILE", file.display(), format!("cannot be used:\n{faults}"))
        })?;
        let is_known = |stream: &StreamKey| routes.routes.iter().any(|route| route.stream == *stream);
        match self.only.iter().find(|stream| !is_known(stream)) {
            Some(unknown) => {
                let rule = format!("names the stream {unknown}, which no route of {} has", file.display());
                Err(ConfigError::rule("ONLY_STREAMS", only, rule))
            }
            None => Ok(()),
        }
    }
}

use std::num::NonZeroU32;

use clap::{Args, ValueEnum};
use service::config::value::count;
use service::config::{ConfigError, DurationRange, HumanDuration};

use crate::weather::OpenMeteoSettings;

/// The largest OPEN_METEO_PER_MINUTE: in effect no limit.
const MOST_PER_MINUTE: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");

/// Where the weather comes from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Weather")]
pub struct WeatherArgs {
    /// Where forecasts come from: simulated, or open-meteo, which needs the internet
    #[arg(long, env = "WEATHER_PROVIDER", default_value = "simulated", value_enum)]
    pub weather_provider: ProviderName,

    /// Time a simulated forecast takes, for demonstrations: a range of durations such as 100ms..500ms [default: none]
    #[arg(long, env = "SIMULATED_LATENCY", value_name = "RANGE")]
    pub simulated_latency: Option<DurationRange>,

    /// Open-Meteo's forecast service; an API key in the query is kept
    #[arg(
        long,
        env = "OPEN_METEO_FORECAST_URL",
        default_value = "https://api.open-meteo.com/v1/forecast",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub open_meteo_forecast_url: String,

    /// Open-Meteo's geocoding service; an API key in the query is kept
    #[arg(
        long,
        env = "OPEN_METEO_GEOCODING_URL",
        default_value = "https://geocoding-api.open-meteo.com/v1/search",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub open_meteo_geocoding_url: String,

    /// Longest wait for one answer from Open-Meteo, a duration
    #[arg(long, env = "OPEN_METEO_TIMEOUT", default_value = "2s", value_name = "DURATION")]
    pub open_meteo_timeout: HumanDuration,

    /// Most requests to Open-Meteo per minute; the free service allows 600
    #[arg(long, env = "OPEN_METEO_PER_MINUTE", default_value = "600", value_name = "COUNT", value_parser = count(NonZeroU32::MIN..=MOST_PER_MINUTE))]
    pub open_meteo_per_minute: NonZeroU32,

    /// How long a forecast stays in the cache, a duration
    #[arg(long, env = "OPEN_METEO_CACHE_TTL", default_value = "10m", value_name = "DURATION")]
    pub open_meteo_cache_ttl: HumanDuration,
}

/// The names of the weather providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProviderName {
    /// Computes plausible weather; needs no network
    Simulated,
    /// Asks open-meteo.com
    OpenMeteo,
}

impl WeatherArgs {
    /// Rules between these settings.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (variable, text) in [
            ("OPEN_METEO_FORECAST_URL", &self.open_meteo_forecast_url),
            ("OPEN_METEO_GEOCODING_URL", &self.open_meteo_geocoding_url),
        ] {
            let is_http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https");
            let has_port = |url: &reqwest::Url| url.port() != Some(0);
            if !reqwest::Url::parse(text).is_ok_and(|url| is_http(&url) && has_port(&url)) {
                // The URL may hold an API key.
                return Err(ConfigError::rule(variable, "***", "must be an http or https URL"));
            }
        }
        if self.open_meteo_timeout.0.is_zero() {
            return Err(ConfigError::rule(
                "OPEN_METEO_TIMEOUT",
                self.open_meteo_timeout,
                "must be longer than 0",
            ));
        }
        Ok(())
    }

    /// The settings for the Open-Meteo provider.
    pub fn open_meteo(&self) -> OpenMeteoSettings {
        OpenMeteoSettings {
            forecast_url: self.open_meteo_forecast_url.clone(),
            geocoding_url: self.open_meteo_geocoding_url.clone(),
            timeout: self.open_meteo_timeout.0,
            per_minute: self.open_meteo_per_minute,
            forecast_ttl: self.open_meteo_cache_ttl.0,
            ..OpenMeteoSettings::default()
        }
    }
}

mod consumers;
mod outages;
mod relay;

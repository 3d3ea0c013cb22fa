mod audit;
mod auth;
mod events;
mod health;
mod monitoring;
mod users;

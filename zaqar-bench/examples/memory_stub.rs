//! A server that keeps messages in memory, to learn what the load generator itself costs, and to
//! see its checks find something:
//! `cargo run --release -p zaqar-bench --example memory_stub -- [FAULT]` listens on port 8890;
//! FAULT is `honest` (the default), `loses`, `doubles`, `misorders`, `resurrects`, `corrupts`,
//! `fails-after` or `fails-before`.

#[path = "../tests/bench/stub.rs"]
mod stub;

use std::error::Error;

use stub::Plant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let plant: Plant = std::env::args().nth(1).as_deref().unwrap_or("honest").parse()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8890").await?;
    println!("{plant:?} stub on {}", listener.local_addr()?);
    axum::serve(listener, stub::router(plant)).await?;
    Ok(())
}

//! Starting stubs and running workloads against them, small and short.

use std::net::SocketAddr;

use clap::Parser;
use zaqar_bench::cli::{Cli, Task};
use zaqar_bench::report::Round;
use zaqar_bench::run::Progress;
use zaqar_bench::workload::run_round;

use crate::stub::{Plant, router};

const SMALL: [&str; 8] = [
    "--duration=0.3",
    "--warmup=0.1",
    "--connections=4",
    "--body-bytes=100",
    "--threads=2",
    "--queues=3",
    "--quiet",
    "--timeout=10",
];

/// Serves a stub on a free port from a thread of its own, until the process ends.
pub(crate) fn start(plant: Plant) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router(plant)).await.unwrap();
        });
    });
    address
}

/// Runs `words` as on the command line against a stub.
pub(crate) fn round(plant: Plant, words: &[&str]) -> Round {
    round_on(&format!("http://{}", start(plant)), words).unwrap()
}

/// Runs `words` as on the command line against a server.
pub(crate) fn round_on(url: &str, words: &[&str]) -> anyhow::Result<Round> {
    let given = |default: &&str| {
        let name = default.split('=').next().unwrap_or_default();
        words.iter().any(|word| word.split('=').next() == Some(name))
    };
    let defaults = SMALL.into_iter().filter(|default| !given(default));
    let line = ["zaqar-bench"].into_iter().chain(words.iter().copied()).chain(defaults);
    let cli = Cli::try_parse_from(line).unwrap();
    let Task::Workload(workload, options) = cli.command.task() else {
        panic!("{words:?} is not a workload");
    };
    run_round(workload, options, url, &[], &Progress::new(true))
}

//! Each kind of backend: up, killed, back, frozen, ended. What the machine has no programs for is
//! skipped for all to see.

use std::net::TcpStream;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use zaqar_testbed::{Backend, Options, Service, is_installed};

fn main() -> ExitCode {
    let trials = Service::ALL.map(|service| {
        let name = format!("survives_what_tests_do_to_it::{}", service.name());
        Trial::ignorable_test(name, move || lives(service))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn lives(service: Service) -> Result<Completion, Failed> {
    if !is_installed(service) {
        return Ok(Completion::ignored_with("its programs are not installed"));
    }
    let mut backend = Backend::start(service, Options::new())?;
    let ports = backend.ports();
    let uri = backend.uri();
    for port in &ports {
        expect(uri.contains("127.0.0.1") && accepts(*port), "a server is not where it should be")?;
    }
    backend.kill()?;
    expect(!backend.is_ready(), "a killed backend is ready")?;
    expect(!ports.iter().any(|port| accepts(*port)), "a killed server accepts")?;
    backend.restart()?;
    expect(backend.is_ready() && backend.uri() == uri, "the backend did not come back")?;
    backend.pause()?;
    expect(!backend.is_ready(), "a frozen backend is ready")?;
    backend.resume()?;
    backend.wait_until_ready()?;
    backend.stop()?;
    expect(!ports.iter().any(|port| accepts(*port)), "a server did not end")?;
    Ok(Completion::Completed)
}

fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn expect(fact: bool, otherwise: &str) -> Result<(), Failed> {
    if fact { Ok(()) } else { Err(Failed::from(otherwise)) }
}

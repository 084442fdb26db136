//! Each kind of backend: up, killed, back, frozen, ended. What the machine has no programs for is
//! skipped for all to see.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use zaqar_testbed::{Backend, Options, Service, Shared, is_installed};

/// Set in a child process that starts a backend and waits to be killed.
const CHILD: &str = "ZAQAR_TESTBED_CHILD";
/// Looks at a port before it must have closed; each yields to others first.
const LOOKS: u32 = 1_000_000;

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return start_and_wait();
    }
    let mut trials: Vec<Trial> = Service::ALL
        .map(|service| {
            let name = format!("survives_what_tests_do_to_it::{}", service.name());
            Trial::ignorable_test(name, move || with(service, lives))
        })
        .into();
    for service in [Service::RedisSentinel, Service::MongoSet] {
        let name = format!("another_server_takes_over::{}", service.name());
        trials.push(Trial::ignorable_test(name, move || with(service, is_taken_over)));
    }
    let name = "a_member_of_a_set_hands_over";
    trials.push(Trial::ignorable_test(name, move || with(Service::MongoSet, hands_over)));
    let name = "a_cluster_sends_clients_to_its_proxy_after_a_restart_too";
    let test = move || with(Service::RedisCluster, announces);
    trials.push(Trial::ignorable_test(name, test));
    for (name, test) in [
        ("a_backend_ends_with_the_process_that_started_it", ends_with_us as fn(Service) -> Ended),
        ("shared_servers_outlive_who_started_them_and_are_mended", are_shared),
        ("a_shared_server_that_nobody_wrote_down_is_found", strays_are_found),
    ] {
        trials.push(Trial::ignorable_test(name, move || with(Service::Redis, test)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

type Ended = Result<(), Failed>;

fn with(service: Service, test: fn(Service) -> Ended) -> Result<Completion, Failed> {
    if !is_installed(service) {
        return Ok(Completion::ignored_with("its programs are not installed"));
    }
    test(service).map(|()| Completion::Completed)
}

fn lives(service: Service) -> Ended {
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
    expect(!ports.iter().any(|port| accepts(*port)), "a server did not end")
}

fn is_taken_over(service: Service) -> Ended {
    let mut backend = Backend::start(service, Options::new())?;
    let (old, new) = backend.fail_over()?;
    expect(old != new, "nobody took over")?;
    backend.stop().map_err(Failed::from)
}

fn hands_over(service: Service) -> Ended {
    let backend = Backend::start(service, Options::new())?;
    let (old, new) = backend.step_down()?;
    expect(old != new, "nobody took over")?;
    backend.stop().map_err(Failed::from)
}

fn announces(service: Service) -> Ended {
    let mut backend = Backend::start(service, Options::new())?;
    let proxy = backend.proxy()?;
    for _ in 0..2 {
        for port in backend.ports() {
            let slots = Command::new("redis-cli")
                .args(["-p", &port.to_string(), "CLUSTER", "SLOTS"])
                .output()?;
            let slots = String::from_utf8(slots.stdout)?;
            let tells = |port: u16| slots.lines().any(|line| line == port.to_string());
            let through = proxy.addresses().iter().all(|address| tells(address.port()));
            expect(through, "a node does not send its clients to the proxy")?;
            expect(!backend.ports().into_iter().any(tells), "a node tells its own port")?;
        }
        backend.kill()?;
        backend.restart()?;
    }
    Ok(())
}

fn ends_with_us(_redis: Service) -> Ended {
    let mut child = Command::new(std::env::current_exe()?)
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().ok_or("the child has no output")?;
    BufReader::new(output).read_line(&mut line)?;
    let port = line.trim().parse()?;
    expect(accepts(port), "the child's server is not where it should be")?;
    child.kill()?;
    child.wait()?;
    expect(closes(port), "a server outlived the process that started it")
}

fn start_and_wait() -> ExitCode {
    let Ok(backend) = Backend::start(Service::Redis, Options::new()) else {
        return ExitCode::FAILURE;
    };
    println!("{}", backend.ports().first().copied().unwrap_or_default());
    loop {
        thread::park();
    }
}

fn are_shared(service: Service) -> Ended {
    let folder = tempfile::tempdir()?;
    let mut shared = Shared::open(folder.path())?;
    shared.up(&[service])?;
    let entry = shared.state().entry(service).cloned().ok_or("nothing was written down")?;
    drop(shared);
    let mut shared = Shared::open(folder.path())?;
    expect(shared.is_up(service), "a shared server ended with who started it")?;
    shared.up(&[service])?;
    expect(shared.state().entry(service) == Some(&entry), "what ran was started again")?;
    kill(&entry)?;
    // The signal is sent; the process ends a moment later.
    let gone = (0..LOOKS).any(|_| {
        thread::yield_now();
        shared.state().uri(service).is_none()
    });
    expect(gone, "a killed server is somewhere")?;
    shared.up(&[service])?;
    let uri = shared.state().uri(service);
    expect(uri.as_ref() == Some(&entry.uri), "the server did not come back where it was")?;
    expect(shared.down()? == 1 && shared.status().is_empty(), "a server did not end")?;
    expect(entry.members.iter().all(|member| closes(member.port)), "a server did not end")
}

fn strays_are_found(service: Service) -> Ended {
    let folder = tempfile::tempdir()?;
    let mut shared = Shared::open(folder.path())?;
    shared.up(&[service])?;
    let entry = shared.state().entry(service).cloned().ok_or("nothing was written down")?;
    drop(shared);
    std::fs::remove_file(folder.path().join("services.json"))?;
    expect(Shared::open(folder.path())?.down()? == 1, "the server was not found")?;
    expect(entry.members.iter().all(|member| closes(member.port)), "a server did not end")
}

/// SIGKILL to the first server.
fn kill(entry: &zaqar_testbed::Entry) -> Ended {
    let member = entry.members.first().ok_or("no server")?;
    let script = format!("kill -9 {}", member.identity.pid);
    expect(Command::new("sh").args(["-c", &script]).status()?.success(), "it cannot be killed")?;
    expect(closes(member.port), "a server outlived SIGKILL")
}

fn closes(port: u16) -> bool {
    (0..LOOKS).any(|_| {
        thread::yield_now();
        !accepts(port)
    })
}

fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn expect(fact: bool, otherwise: &str) -> Ended {
    if fact { Ok(()) } else { Err(Failed::from(otherwise)) }
}

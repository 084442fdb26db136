//! What the gate promises.

use super::*;

fn party(name: &str) -> Party {
    Some(ProjectId::new(name).unwrap())
}

#[tokio::test]
async fn a_project_that_floods_waits_behind_itself() {
    let gate = Gate::new(1, 100);
    let inside = gate.enter(&party("flood"), "test").await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    let ask = |name: &'static str| {
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        async move {
            let permit = gate.enter(&party(name), "test").await.unwrap();
            order.lock().unwrap().push(name);
            drop(permit);
        }
    };
    for _ in 0..5 {
        tasks.spawn(ask("flood"));
    }
    tasks.spawn(ask("calm"));
    // Single-threaded: each task runs up to its wait before this goes on.
    tokio::task::yield_now().await;
    drop(inside);
    while tasks.join_next().await.is_some() {}
    let order = order.lock().unwrap().clone();
    assert_eq!(order.iter().position(|name| *name == "calm"), Some(1), "{order:?}");
}

#[tokio::test]
async fn who_stops_waiting_leaves_no_hole_and_a_full_queue_pushes_back() {
    let gate = Gate::new(1, 1);
    let inside = gate.enter(&None, "test").await.unwrap();
    let mut waiting = Box::pin(gate.enter(&None, "test"));
    assert!(futures_poll(&mut waiting).await.is_none());
    assert!(matches!(gate.enter(&None, "test").await, Err(Error::Overloaded)));
    drop(waiting);
    drop(inside);
    drop(gate.enter(&None, "test").await.unwrap());
    gate.close().await;
    let refused = gate.enter(&None, "test").await.unwrap_err();
    assert_eq!(refused.effect(), zaqar_core::Effect::None);
}

#[tokio::test]
async fn work_whose_caller_left_is_finished_and_its_answer_is_not_lost() {
    let gate = Gate::new(1, 1);
    let (begun, has_begun) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    let (told, unheard) = oneshot::channel();
    let work = async move {
        begun.send(()).unwrap();
        gone.await.unwrap();
        Ok(7)
    };
    let gate_of_task = Arc::clone(&gate);
    let caller = tokio::spawn(async move {
        let tell = |answer| async move { told.send(answer).unwrap() };
        gate_of_task.run_heard(&None, "test", work, tell).await
    });
    has_begun.await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    assert_eq!(unheard.await.unwrap(), 7);
    gate.close().await;
}

#[tokio::test]
async fn a_second_try_does_not_overtake_what_was_abandoned() {
    let gate = Gate::new(4, 10);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (go, gone) = oneshot::channel::<()>();
    let first = {
        let order = Arc::clone(&order);
        async move {
            gone.await.unwrap();
            order.lock().unwrap().push("first");
            Ok(())
        }
    };
    let ours = party("p");
    let mut abandoned = Box::pin(gate.run(&ours, "test", first));
    assert!(futures_poll(&mut abandoned).await.is_none());
    drop(abandoned);
    // Another project does not wait for it.
    drop(gate.enter(&party("other"), "test").await.unwrap());
    let second = {
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        tokio::spawn(async move {
            drop(gate.enter(&party("p"), "test").await.unwrap());
            order.lock().unwrap().push("second");
        })
    };
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    second.await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
    gate.close().await;
}

#[tokio::test]
async fn work_that_panics_is_answered_and_frees_its_place() {
    let gate = Gate::new(1, 1);
    let work = async {
        if tokio::runtime::Handle::try_current().is_ok() {
            panic!("planted");
        }
        Ok(())
    };
    let error = gate.run(&None, "test", work).await.unwrap_err();
    assert_eq!(error.effect(), zaqar_core::Effect::Unknown);
    gate.close().await;
}

async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

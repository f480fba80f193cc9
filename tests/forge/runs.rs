//! "Which run is this?", answered from the forge.

use bus_schema::Event;
use bus_schema::ci::{Conclusion, RunnerEnvironment};
use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use harness::github::run::RunFacts;

use crate::world::{REPOSITORY, World, person};

fn question(world: &World, run: u64, attempt: u32) -> Question {
    let run = format!("github.com/42/{run}/{attempt}").parse().unwrap();
    Question::Run { repository: world.repository(), run }
}

fn start(world: &World) -> u64 {
    let mut model = world.forge.model();
    let commit = model.commit(REPOSITORY, &[], &person("ann"), &["README.md"]);
    let facts = RunFacts {
        workflow: ".github/workflows/release.yml".to_owned(),
        event: "push".to_owned(),
        head_branch: Some("main".to_owned()),
        head_sha: commit,
        head_repository: None,
        actor: person("ann"),
    };
    model.start_run(REPOSITORY, facts).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_told_as_far_as_it_has_come() {
    let world = World::new().await;
    let run = start(&world);
    let going = world.ask(question(&world, run, 1)).await;
    going.check_end(Unavailable::NotFound, "the run and its ended jobs");
    assert!(matches!(going.events[..], [Event::RunStarted(_)]), "{:?}", going.events);
    {
        let mut model = world.forge.model();
        model.finish_jobs(REPOSITORY, (run, 1), "success");
        model.finish_run(REPOSITORY, (run, 1), "failure");
    }
    let ended = world.ask_again(question(&world, run, 1), 2).await;
    // The start is known already; the bus drops what is said twice.
    let [Event::RunFinished(finished), Event::JobFinished(job)] = &ended.events[..] else {
        panic!("{:?}", ended.events)
    };
    assert_eq!(finished.conclusion, Conclusion::Failure);
    assert_eq!(
        (job.conclusion.clone(), job.runner.clone()),
        (Conclusion::Success, Some(RunnerEnvironment::GithubHosted))
    );
    assert_eq!(ended.end.found, 3);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_the_same_as_the_webhook_did() {
    let world = World::new().await;
    let run = start(&world);
    let deliveries = {
        let mut model = world.forge.model();
        let mut deliveries = model.finish_jobs(REPOSITORY, (run, 1), "success");
        deliveries.push(model.finish_run(REPOSITORY, (run, 1), "success"));
        deliveries
    };
    for delivery in &deliveries {
        assert_eq!(world.deliver(delivery).await, 202);
    }
    let said = world.events().await;
    let answered = world.ask(question(&world, run, 1)).await;
    assert_eq!(answered.end.found, 3);
    assert!(matches!(answered.events[..], [Event::RunStarted(_)]), "{:?} after {said:?}", answered.events);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_not_there_or_elsewhere_are_not_found() {
    let world = World::new().await;
    let run = start(&world);
    world.ask(question(&world, run + 1, 1)).await.check_end(Unavailable::NotFound, "unknown run");
    world.ask(question(&world, run, 2)).await.check_end(Unavailable::NotFound, "unknown run");
    let foreign = Question::Run {
        repository: world.repository(),
        run: format!("github.com/43/{run}/1").parse().unwrap(),
    };
    world.ask(foreign).await.check_end(Unavailable::NotFound, "is not of github.com/acme/api");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages_of_jobs_are_read() {
    let world = World::new().await;
    let run = start(&world);
    {
        let mut model = world.forge.model();
        let jobs = &mut model.repository("acme", "api").runs.get_mut(&(run, 1)).unwrap().jobs;
        let first = jobs[0].clone();
        jobs.extend((1..250).map(|number| {
            let mut job = first.clone();
            job.id += number * 10_000;
            job
        }));
        model.finish_jobs(REPOSITORY, (run, 1), "success");
    }
    let answered = world.ask(question(&world, run, 1)).await;
    assert_eq!(answered.end.found, 251);
    world.end();
}

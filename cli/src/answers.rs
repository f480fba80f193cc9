//! Where commands get their answers: from the running process, or from the data folder where nothing runs.

use bus_schema::case::Case;
use correlator_service::api::types::{
    CaseDetail, Cases, CasesAsked, Places, Trace, TraceAsked, VerdictShown, Verdicts, VerdictsAsked,
    WhereAsked,
};
use correlator_service::{Answers as FolderAnswers, QueryError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Api;
use crate::correlator::open_failure;
use crate::data::DataFolder;
use crate::exit::Failure;

/// Verdicts or cases that are asked for at once.
const PAGE: usize = 200;
/// The most pages that are read: a bound, not a wish.
const PAGES_MAX: usize = 5000;

/// The one who answers.
#[derive(Debug)]
pub(crate) enum Answers {
    Process(Api),
    Folder(FolderAnswers),
}

impl Answers {
    /// The process that has the folder, or the folder.
    pub(crate) async fn of(data: &DataFolder) -> anyhow::Result<Answers> {
        if let Some(api) = Api::of_running(data).await? {
            return Ok(Answers::Process(api));
        }
        data.must_exist()?;
        let opened = FolderAnswers::of_folder(&data.correlator(), None).await;
        Ok(Answers::Folder(opened.map_err(open_failure)?))
    }

    /// Everything about one image.
    pub(crate) async fn trace(&self, image: &str) -> anyhow::Result<Trace> {
        match self {
            Answers::Process(api) => {
                let asked = TraceAsked { image: Some(image.to_owned()), digest: None };
                api.get("/trace", &asked).await
            }
            Answers::Folder(answers) => answers.trace(image).await.map_err(failure),
        }
    }

    pub(crate) async fn places(&self, image: &str) -> anyhow::Result<Places> {
        match self {
            Answers::Process(api) => api.get("/where", &WhereAsked { digest: image.to_owned() }).await,
            Answers::Folder(answers) => answers.places(image).await.map_err(failure),
        }
    }

    pub(crate) async fn case(&self, id: &str) -> anyhow::Result<CaseDetail> {
        match self {
            Answers::Process(api) => api.get(&format!("/cases/{id}"), &()).await,
            Answers::Folder(answers) => {
                let id =
                    id.parse().map_err(|error: bus_schema::ParseError| Failure::usage(error.to_string()))?;
                answers.case(id).await.map_err(failure)
            }
        }
    }

    /// Every case, in its order in the store.
    pub(crate) async fn cases(&self) -> anyhow::Result<Vec<Case>> {
        let mut all = Vec::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let asked = CasesAsked { after: after.take(), limit: Some(PAGE), ..CasesAsked::default() };
            let page: Cases = match self {
                Answers::Process(api) => get(api, "/cases", &asked).await?,
                Answers::Folder(answers) => answers.cases(asked).await.map_err(failure)?,
            };
            all.extend(page.cases);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Every verdict, in its order in the store.
    pub(crate) async fn verdicts(&self) -> anyhow::Result<Vec<VerdictShown>> {
        let mut all = Vec::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let asked = VerdictsAsked { after: after.take(), limit: Some(PAGE), ..VerdictsAsked::default() };
            let page: Verdicts = match self {
                Answers::Process(api) => get(api, "/verdicts", &asked).await?,
                Answers::Folder(answers) => answers.verdicts(asked).await.map_err(failure)?,
            };
            all.extend(page.verdicts);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }
}

async fn get<T: DeserializeOwned>(api: &Api, path: &str, query: &impl Serialize) -> anyhow::Result<T> {
    api.get(path, query).await
}

fn failure(error: QueryError) -> anyhow::Error {
    match &error {
        QueryError::NotFound { .. } | QueryError::Asked { .. } => {
            Failure::usage(fleet_runtime::error_chain(&error))
        }
        QueryError::State(_) => anyhow::Error::from(error).context("read the data folder"),
    }
}

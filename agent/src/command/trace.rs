//! `innerspan trace`: where the time of a pod's start went, told by the agent of its node.
//!
//! In: the pod, and where the agent answers. Out: its trace as a picture or as OTLP/JSON, or a list of the traces that
//! the agent has.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use http::{StatusCode, Uri};
use innerspan::waterfall::{Look, Waterfall, list, read};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{agent::Agent, complain, load};
use crate::EX_USAGE;

/// Where the chart puts the configuration, in the agent's own container.
const CONFIG: &str = "/etc/innerspan/config.yaml";

/// Columns where nobody says how many there are.
const WIDTH: usize = 110;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pod, by name or UID; without it, a list of the traces that the agent has.
    #[arg(value_name = "[NAMESPACE/]POD")]
    pod: Option<String>,
    /// What of the pod.
    #[arg(long, value_enum, default_value_t = Story::Start)]
    story: Story,
    /// Print OTLP/JSON, which any OTLP receiver takes; of the list, JSON.
    #[arg(long)]
    json: bool,
    /// Print an SVG.
    #[arg(long, conflicts_with = "json", requires = "pod")]
    svg: bool,
    /// Show the calls inside the phases too.
    #[arg(long, conflicts_with = "json")]
    calls: bool,
    /// Where the agent answers: that of the configuration, or port 9464 of the loopback.
    #[arg(long, value_name = "URL")]
    address: Option<Uri>,
    /// The agent's configuration, for its address, token and certificate; /etc/innerspan/config.yaml if that is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Story {
    /// From its creation until it was ready.
    Start,
    /// From its deletion until it was gone.
    Stop,
    /// The last restart of a container.
    Restart,
}

impl Story {
    /// The name of its trace's root.
    fn name(self) -> &'static str {
        match self {
            Self::Start => "pod start",
            Self::Stop => "pod stop",
            Self::Restart => "container restart",
        }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let installed = Path::new(CONFIG);
    let file = args.config.as_deref().or(installed.exists().then_some(installed));
    let admin = match file.map(|file| load(Some(file))) {
        Some(None) => return ExitCode::from(EX_USAGE),
        Some(Some(config)) => Some(config.admin),
        None => None,
    };
    let shown = Agent::new(args.address.as_ref(), admin.as_ref()).and_then(|agent| show(args, &agent));
    match shown {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args, agent: &Agent) -> anyhow::Result<ExitCode> {
    let Some(pod) = &args.pod else {
        let answer = agent.ask("/traces")?;
        let traces = answer.good()?;
        return if args.json {
            say(traces)
        } else {
            say(&list(traces.as_bytes())?)
        };
    };
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let (story, wanted) = (args.story.name(), encode(pod));
    let answer = agent.ask(&format!("/traces?pod={wanted}&story={}", encode(story)))?;
    if answer.status == StatusCode::NOT_FOUND {
        let others = agent.ask("/traces")?;
        complain(&format!(
            "the agent at {agent} has no trace of a {story} of {pod}: only the agent of the pod's own node has one, of \
             what it saw, and it keeps the last ones. It has these:\n{}",
            list(others.good()?.as_bytes())?
        ));
        return Ok(ExitCode::FAILURE);
    }
    let trace = answer.good()?;
    if args.json {
        return say(trace);
    }
    let spans = read(trace.as_bytes()).context("read the agent's answer")?;
    let picture = Waterfall::of(&spans, args.calls).context("the agent's answer holds no span")?;
    if args.svg {
        return say(&picture.svg());
    }
    say(&picture.text(look()))
}

/// As wide as the terminal, and in colours if there is one and nobody asked for none: <https://no-color.org>.
fn look() -> Look {
    let is_terminal = io::stdout().is_terminal();
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let size = terminal_size::terminal_size().filter(|_| is_terminal);
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    Look {
        width: size.map_or(WIDTH, |(width, _)| usize::from(width.0)),
        color: is_terminal && !is_dumb && !set("NO_COLOR"),
    }
}

fn say(text: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "{}", text.trim_end()).context("write the answer")?;
    Ok(ExitCode::SUCCESS)
}

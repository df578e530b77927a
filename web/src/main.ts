/** The studio: all songs at #/, the mixer of one at #/jobs/ID. */

import "./styles/base.css";
import "./styles/jobs.css";
import "./styles/mixer.css";
import { api, type Job, type Options, onKeyNeeded } from "./api";
import { announce, h } from "./dom";
import { ChoiceForm, dropArea } from "./jobs/form";
import { mergeJob, newsOf, replaceJobs, withoutJob } from "./jobs/list";
import { follow } from "./jobs/live";
import { JobRows } from "./jobs/rows";
import { type Upload, Uploads } from "./jobs/uploads";
import { keyAsker } from "./keyDialog";
import { MixerPage } from "./mixer/mixerPage";
import { themeButton } from "./theme";

class Studio {
  private jobs: Job[] = [];
  private pending: readonly Upload[] = [];
  private mixer: MixerPage | null = null;
  private readonly away = h("p", { class: "problem banner", role: "alert", hidden: true });
  private readonly problem = h("p", { class: "problem", role: "alert", hidden: true });
  private readonly listPage: HTMLElement;
  private readonly mixerHolder = h("div");
  private readonly rows: JobRows;
  private readonly uploads: Uploads;
  private route = 0;

  constructor(
    form: ChoiceForm,
    private readonly options: Options,
  ) {
    this.uploads = new Uploads({
      changed: (uploads) => {
        this.pending = uploads;
        this.show();
      },
      accepted: (job) => this.setJobs(mergeJob(this.jobs, job)),
    });
    this.uploads.limit = options.limits.upload_bytes;
    this.rows = new JobRows({
      cancel: (job) => void this.ask(() => api.cancel(job.id)),
      remove: (job) => {
        void this.ask(async () => {
          await api.remove(job.id);
          this.setJobs(withoutJob(this.jobs, job.id));
          announce(`${job.name} is removed`);
        });
      },
      takeBack: (upload) => this.uploads.remove(upload),
    });
    const take = (files: File[]) => {
      const choice = form.read();
      if (choice === null) return;
      location.hash = "#/";
      this.uploads.add(files, choice);
    };
    this.listPage = h("div", { class: "list-page" }, [
      h("h1", { class: "unseen", tabindex: -1 }, "Songs"),
      dropArea(form.limits(), take),
      h("div", { class: "card" }, [form.element]),
      this.problem,
      ...this.rows.parts(),
    ]);
    document.body.append(header(), h("main", {}, [this.away, this.listPage, this.mixerHolder]));
    window.addEventListener("hashchange", () => void this.showRoute());
    window.addEventListener("beforeunload", (event) => {
      if (this.uploads.busy) event.preventDefault();
    });
    this.show();
    void this.showRoute();
    follow({
      job: (job) => this.setJobs(mergeJob(this.jobs, job)),
      removed: (id) => this.setJobs(withoutJob(this.jobs, id)),
      all: (jobs) => this.setJobs(replaceJobs(jobs)),
      reachable: (reachable) => this.showReachable(reachable),
    });
  }

  private setJobs(jobs: Job[]): void {
    const news = newsOf(this.jobs, jobs);
    if (news.length > 0) announce(news.join(". "));
    this.jobs = jobs;
    this.show();
  }

  private show(): void {
    this.rows.update(this.pending, this.jobs);
  }

  private showReachable(reachable: boolean): void {
    this.away.hidden = reachable;
    this.away.textContent =
      "The server does not answer. Look whether “stemlight serve” still runs; the page tries again by itself, and no job is lost.";
  }

  /** Do something on the server, and tell in place if it did not work. */
  private async ask(act: () => Promise<unknown>): Promise<void> {
    this.problem.hidden = true;
    try {
      await act();
    } catch (error) {
      this.problem.textContent = (error as Error).message;
      this.problem.hidden = false;
    }
  }

  private async showRoute(): Promise<void> {
    this.route += 1;
    const { route } = this;
    const id = /^#\/jobs\/(.+)$/.exec(location.hash)?.[1];
    await this.mixer?.close();
    this.mixer = null;
    this.mixerHolder.replaceChildren();
    this.listPage.hidden = id !== undefined;
    document.title = "stemlight studio";
    if (id === undefined) return;
    let job: Job | null = null;
    await this.ask(async () => {
      job = await api.job(decodeURIComponent(id));
    });
    if (route !== this.route) return; // another page was asked for meanwhile
    if (job === null || (job as Job).state !== "done") {
      this.listPage.hidden = false;
      this.problem.hidden = false;
      this.problem.textContent =
        job === null
          ? this.problem.textContent
          : "This song has no stems to mix yet. Wait until it is ready.";
      return;
    }
    this.mixer = new MixerPage(job, this.options);
    this.mixerHolder.replaceChildren(this.mixer.element);
    document.title = `${(job as Job).name} · stemlight studio`;
    this.mixer.element.querySelector("h1")?.focus();
    window.scrollTo(0, 0);
    await this.mixer.start();
  }
}

function header(): HTMLElement {
  const home = h("a", { href: "#/", class: "brand" }, [
    h("span", { class: "logo", "aria-hidden": "true" }, [h("i"), h("i"), h("i"), h("i")]),
    "stemlight studio",
  ]);
  return h("header", { class: "top" }, [home, themeButton()]);
}

async function begin(): Promise<void> {
  onKeyNeeded(keyAsker());
  try {
    const [models, options] = await Promise.all([api.models(), api.options()]);
    new Studio(new ChoiceForm(models, options), options);
  } catch (error) {
    const again = h("button", { type: "button", class: "primary" }, "Try again", {
      click: () => location.reload(),
    });
    const text = h("p", { class: "problem", role: "alert" }, (error as Error).message);
    document.body.append(header(), h("main", {}, [text, again]));
  }
}

void begin();

// The panel: verdict, stages, module tree, tabs. It holds no truth of its own: `set` gives it data, `act` carries wishes away.
import { h, watchTheme } from './dom.js';
import { graphTab } from './graphtab.js';
import { layer } from './layer.js';
import { divider } from './divider.js';
import { fixes, log, steps } from './lists.js';
import { whilePressed } from './press.js';
import { tabs } from './tabs.js';
import { tree } from './tree.js';

/**
 * What the panel is given; `panel.py` makes it.
 * @typedef {object} Data
 * @property {object[]} rows      modules, see tree.py
 * @property {object} states      fqn → state
 * @property {object[]} sources   what the classes compute: place, file, lines; rows name them by number
 * @property {object} view        verdict, headline, stages, culprits, fixes …, see view.py
 * @property {object[]} steps     history of trials
 * @property {{running: boolean, stopping: boolean, blocking: boolean, text: string, error: string, since: number, seconds: number,
 *     finished: boolean, again: boolean}} progress  blocking: the cell that runs is this panel's, so the kernel hears an interrupt only;
 *     again: the search can be made anew
 * @property {string[]} replaced  modules that the user replaced by placeholders
 * @property {object} answers     fqn → {answer, text}: what the last trial of the user's own with this module means
 * @property {string} notice      what the front end itself has to say, such as that the kernel is gone
 * @property {boolean} live       a session is behind: trials can be asked for
 */
const EMPTY = {
    rows: [], states: {}, sources: [], steps: [], replaced: [], answers: {}, notice: '', live: false, progress: { running: false, text: '', error: '', since: 0, seconds: 0, finished: true },
    view: { verdict: 'open', mark: '…', headline: '', stages: [], culprits: [], fixes: [], seen: [], asked: [], comparisons: [], notes: [], unproven: [], proven: '', next: '', error: '' },
};
const WIDE = 1250; // pixels; below this, layer and graph take turns

/**
 * @param {{act?: (type: string, content?: object) => void, select?: (fqn: string) => void, graph?: (wish: object) => void}} handlers
 *     `act` reaches a kernel; `graph` finds another graph where there is none
 */
export function panel(host, { act = null, select: onSelect = () => {}, graph: showGraph } = {}) {
    const data = { ...EMPTY, calls: {} };
    const asked = new Set(); // modules whose calls were asked for since the last trial
    let selected = null;
    let chosenByUser = false; // then nothing that is found moves the selection away
    let logAsked = false;
    let drawnFor = null; // the module in the Layer tab
    let unfolded = null; // the error in full, as the user wants it

    const mark = h('span.od-verdict-mark', { 'aria-hidden': true });
    const headline = h('span.od-headline');
    const sentence = h('div.od-next');
    const button = (name, label, title) => h('button.od-button.od-main-button', { type: 'button', title, onclick: () => act(name) }, label);
    const buttons = {
        step: button('step', '▸ Step', 'One trial'),
        run: button('run', '▸▸ Run', 'Run the search to its end'),
        stop: button('stop', '■ Stop', 'Stop at once; what was found stays'),
        again: button('again', '↻ Search again', 'Search anew: the model may have changed'),
    };
    const live = h('div.od-drive', { role: 'group', 'aria-label': 'Search', hidden: true }, Object.values(buttons));
    const chips = h('div.od-chips', { role: 'group', 'aria-label': 'Culprits' });
    const strip = h('ol.od-stages', { 'aria-label': 'Stages of the export' });
    const said = h('span.od-said');
    const counts = h('span.od-counts');
    const status = h('span.od-status', { role: 'status' }, said, counts);

    const side = h('div.od-side');
    const modules = tree(side, (fqn) => choose(fqn, true));
    const layerPage = h('div.od-scroll-page');
    const stepsPage = h('div.od-scroll-page');
    const fixesPage = h('div.od-scroll-page');
    const logPage = log();
    const netron = graphTab({
        select: (fqn) => choose(fqn, true, true),
        show: act ? (wish) => act('graph', wish) : showGraph,
        partial: Boolean(act),
    });
    const pages = tabs([
        { name: 'layer', label: 'Layer', element: layerPage },
        { name: 'graph', label: 'Graph', element: netron.element },
        { name: 'fixes', label: 'Fixes', element: fixesPage },
        { name: 'steps', label: 'Steps', element: stepsPage },
        { name: 'log', label: 'Log', element: logPage.element },
    ], (name) => {
        if (name === 'log' && act && !logAsked) {
            logAsked = true;
            act('log');
        }
    });
    const treeFold = h('button.od-button.od-tree-fold', {
        type: 'button', 'aria-expanded': 'false', onclick() {
            const folded = root.classList.toggle('od-tree-open');
            treeFold.setAttribute('aria-expanded', String(folded));
        },
    }, 'Modules');
    const sideBox = h('div.od-side-box', {}, treeFold, side);
    const root = h('section.od-panel', { 'aria-label': 'onnx_debug', 'data-lm-suppress-shortcuts': 'true' },
        h('header.od-head', {}, mark, h('div.od-words', {}, headline, sentence), live),
        chips,
        h('div.od-strip', {}, strip, status),
        h('div.od-body', {}, sideBox, divider(sideBox, 'Width of the module tree'), h('div.od-main', {}, pages.bar, pages.stack)));
    host.append(root);
    layerPage.addEventListener('click', (event) => {
        if (event.target.closest('summary')) {
            unfolded = !event.target.closest('details').open;
        }
    });
    pages.reveal('fixes', false);
    pages.show('layer');

    function choose(fqn, byUser, fromGraph = false) {
        selected = fqn;
        if (byUser) {
            chosenByUser = true;
            onSelect(fqn);
        }
        modules.select(fqn);
        netron.select(fqn, fromGraph);
        askForCalls();
        drawLayer();
        drawChips();
        sentence.textContent = nextStep();
    }

    function askForCalls() {
        const row = selected === null ? null : modules.row(selected);
        if (act && data.live && row && row.calls && !data.progress.running && !asked.has(selected)) {
            asked.add(selected);
            act('module', { fqn: selected });
        }
    }

    function drawLayer() {
        const scrolled = layerPage.querySelector('.od-source pre')?.scrollTop;
        const focused = layerPage.contains(document.activeElement) ? document.activeElement.textContent : null;
        layerPage.replaceChildren(layer(selected ?? '', data, modules, act, showStep), ...about());
        scrollSource(scrolled);
        if (unfolded !== null) {
            layerPage.querySelectorAll('details').forEach((details) => { details.open = unfolded; });
        }
        if (focused !== null) {
            [...layerPage.querySelectorAll('button, summary')].find((element) => element.textContent === focused)?.focus({ preventScroll: true });
        }
    }

    /** The guilty line in the middle; once the user has scrolled, where it was. */
    function scrollSource(before) {
        const box = layerPage.querySelector('.od-source pre');
        const guilty = layerPage.querySelector('mark.od-line');
        if (box && drawnFor === selected && before !== undefined) {
            box.scrollTop = before;
        } else if (guilty) {
            box.scrollTop += guilty.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2;
        }
        drawnFor = selected;
    }

    function about() {
        const { view } = data;
        const lines = [
            view.proven && h('p', {}, h('b', {}, 'Proven: '), `${view.proven}.`),
            ...view.unproven.map((line) => h('p', {}, h('b', {}, 'Not proven: '), line)),
            ...view.notes.map((line) => h('p', {}, h('b', {}, 'Note: '), line)),
        ].filter(Boolean);
        return lines.length ? [h('div.od-about', {}, lines)] : [];
    }

    function drawHead() {
        const { view, progress } = data;
        root.dataset.verdict = view.verdict;
        mark.textContent = view.mark;
        headline.textContent = view.headline;
        sentence.textContent = nextStep();
        strip.replaceChildren(...view.stages.map(({ name, state, mark: sign, said }) => h(`li.od-${state}`, { title: said },
            name, ' ', h('span', { 'aria-hidden': true }, sign), h('span.od-unseen', {}, ` ${said}`))));
        pages.reveal('fixes', view.fixes.length > 0);
        const passed = view.fixes.filter((fix) => fix.passed).length;
        pages.badge('fixes', passed ? `${passed} ✓` : '');
        fixesPage.replaceChildren(fixes(view.fixes));
        drawChips();
        drawStatus();
    }

    /** The row of one trial, in sight and marked. */
    function showStep(index) {
        pages.show('steps');
        const rows = [...stepsPage.querySelectorAll('tbody tr')];
        rows.forEach((row, number) => row.classList.toggle('od-chosen', number === index));
        rows[index]?.scrollIntoView({ block: 'nearest' });
        rows[index]?.querySelector('button')?.focus({ preventScroll: true });
    }

    /** Advice belongs to the culprit that is selected. */
    function nextStep() {
        const { view } = data;
        const chosen = view.nextIsAdvice && view.culprits.find((culprit) => culprit.fqn === selected);
        if (!chosen || !chosen.advice) {
            return view.next;
        }
        return view.culprits.length > 1 ? `Next for ${chosen.name}: ${chosen.advice}` : `Next: ${chosen.advice}`;
    }

    function drawChips() {
        const { culprits } = data.view;
        const searching = data.live && !data.progress.finished; // then the row keeps its place, so that nothing jumps
        chips.hidden = culprits.length < 2 && !searching;
        const none = culprits.length ? [] : [h('span.od-note', {}, 'No module found to blame yet')];
        chips.replaceChildren(...none, ...culprits.map((culprit, index) => h('button.od-chip', {
            type: 'button', title: culprit.why, 'aria-pressed': String(culprit.fqn === selected), onclick: () => choose(culprit.fqn, true),
        }, h('span', {}, `${index + 1}`), h('code', {}, culprit.name), h('span.od-kind', {}, culprit.kind))));
    }

    function drawStatus() {
        const { progress } = data;
        const seconds = progress.running ? Date.now() / 1000 - progress.since : progress.seconds;
        const trials = `${data.steps.length} trial${data.steps.length === 1 ? '' : 's'}`;
        said.textContent = progress.error || data.notice || progress.text;
        said.title = said.textContent;
        counts.textContent = seconds >= 0 ? `${trials} · ${seconds.toFixed(1)} s` : trials;
        status.classList.toggle('od-problem', Boolean(progress.error || data.notice));
        root.classList.toggle('od-running', progress.running);
        root.classList.toggle('od-searching', data.live && !progress.finished);
        live.hidden = !data.live || !act;
        buttons.step.hidden = buttons.run.hidden = progress.running || progress.finished;
        buttons.stop.hidden = !progress.running;
        buttons.stop.disabled = Boolean(progress.stopping);
        buttons.again.hidden = progress.running || !progress.finished || !progress.again;
    }

    function drawSteps() {
        const { scrollTop, scrollHeight, clientHeight } = stepsPage;
        const atEnd = scrollTop + clientHeight >= scrollHeight - 40;
        stepsPage.replaceChildren(steps(data.steps, (fqn) => choose(fqn, true)));
        pages.badge('steps', data.steps.length ? String(data.steps.length) : '');
        if (atEnd) {
            stepsPage.scrollTop = stepsPage.scrollHeight;
        }
    }

    // Room for both: the graph stands beside whatever else is shown.
    let drawn = false;
    const fit = () => pages.pin((drawn || data.live) && root.clientWidth >= WIDE ? 'graph' : null);
    const resized = new ResizeObserver(fit);
    resized.observe(root);
    const clock = setInterval(() => data.progress.running && drawStatus(), 500);
    const unwatch = watchTheme((dark) => {
        root.style.colorScheme = dark ? 'dark' : 'light';
        netron.setDark(dark);
    });

    function update(change) {
        const wasRunning = data.progress.running;
        Object.assign(data, change);
        if (change.rows) {
            modules.setRows(change.rows);
        }
        if (change.replaced) {
            modules.setReplaced(change.replaced);
        }
        if (change.states) {
            modules.setStates(change.states);
            netron.setStates(change.states);
        }
        if (change.steps) {
            asked.clear(); // a trial may have seen sizes that were unknown
            drawSteps();
        }
        if (change.view) {
            netron.setView(change.view);
        }
        if (change.view || change.progress || 'live' in change || 'notice' in change) {
            drawHead();
        }
        if ('live' in change) {
            fit();
        }
        if (!chosenByUser && (change.rows || change.view) && data.rows.length) {
            choose(data.view.culprits.length ? data.view.culprits[0].fqn : '', false);
        } else if (change.rows && selected !== null) {
            choose(selected, false);
        } else if (Object.keys(change).some((name) => name !== 'progress') || data.progress.running !== wasRunning) {
            drawLayer();
        }
        askForCalls();
    }

    function setCalls(fqn, calls) {
        data.calls[fqn] = calls;
        if (fqn === selected) {
            drawLayer();
        }
    }

    function openGraph(packed) {
        drawn = true;
        fit();
        netron.open(...packed);
    }

    const { later, dispose: forgetPresses } = whilePressed(root);

    return {
        root,
        /** @param {Partial<Data>} change */
        set: (change) => later(() => update(change)),
        choose,
        setCalls: (fqn, calls) => later(() => setCalls(fqn, calls)),
        selected: () => selected,
        prepareGraph: netron.prepare,
        openGraph: (...packed) => later(() => openGraph(packed)),
        setLog: logPage.set,
        forgetLog() {
            logAsked = pages.current() === 'log';
            if (logAsked && act) {
                act('log');
            }
        },
        dispose() {
            clearInterval(clock);
            resized.disconnect();
            unwatch();
            forgetPresses();
            modules.dispose();
            netron.dispose();
        },
    };
}

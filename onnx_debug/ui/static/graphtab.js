// The Graph tab: Netron, or a list of nodes; marks for what is known of the modules; modules to nodes and back.
import { h } from './dom.js';
import { graph } from './graph.js';
import { nodelist } from './nodelist.js';

// Readable with white text on it, in both themes.
const COLOURS = { culprit: '#b3400b', stubbed: '#7b3f98' };

/** @param {{select: (fqn: string) => void, focus?: (fqn: string) => void}} handlers */
export function graphTab(handlers) {
    let facts = null;
    let list = null;
    let fqn = null;
    let states = {};
    const stage = h('div.od-stage');
    const text = h('span.od-note', { role: 'status' }, 'There is no graph yet.');
    const command = (name, label, title) => h('button.od-button', { type: 'button', title, 'aria-label': title, onclick: () => netron.command(name) }, label);
    const tools = h('span.od-tools', { role: 'group', 'aria-label': 'Graph' },
        command('find', 'Find', 'Find in the graph'),
        command('zoomOut', '−', 'Zoom out'), command('zoomReset', '1:1', 'Actual size'), command('zoomIn', '+', 'Zoom in'));
    const element = h('div.od-fill-column', {}, stage, h('div.od-bar.od-foot', {}, text, tools));
    const netron = graph(stage, {
        click(name) {
            const node = facts.nodes.find((one) => one[0] === name);
            if (node && node[2] !== null) {
                handlers.select(node[2], true);
            } else if (node) {
                text.textContent = `The exporter left no trace of the module that ${node[1]} “${name}” comes from.`;
            }
        },
        status(status, detail) {
            if (status === 'error') {
                fallBack(detail);
            } else if (status === 'slow') {
                text.textContent = `Laying out ${facts.nodes.length} nodes takes a while …`;
            } else {
                describe();
            }
        },
    });

    const within = (module) => module !== null && (fqn === '' || module === fqn || module.startsWith(`${fqn}.`));
    const chosen = () => (facts && fqn ? facts.nodes.filter((node) => within(node[2])).map((node) => node[0]) : []);

    function fallBack(problem) {
        stage.replaceChildren();
        list = nodelist(stage, problem, facts.nodes, (name) => {
            const node = facts.nodes.find((one) => one[0] === name);
            if (node[2] !== null) {
                handlers.select(node[2], true);
            }
        });
        tools.hidden = true;
        describe();
    }

    function describe() {
        const size = facts.total > facts.nodes.length ? `${facts.nodes.length} of ${facts.total} nodes, around the module` : `${facts.total} nodes`;
        const stands = facts.nodes.filter((node) => node[3]).length;
        const parts = [size, stands ? `${stands} placeholder${stands > 1 ? 's' : ''}` : null, facts.heated ? 'darker orange: larger difference' : null];
        const missing = fqn && !chosen().length ? `no node of ${fqn} is in this graph` : null;
        text.textContent = [...parts, missing].filter(Boolean).join(' · ');
    }

    function marks() {
        const found = { ...facts.heat };
        for (const [name, , module] of facts.nodes) {
            for (let above = module; above !== null; above = above.includes('.') ? above.slice(0, above.lastIndexOf('.')) : null) {
                const state = states[above];
                if (state === 'culprit' || state === 'stubbed') {
                    found[name] = COLOURS[state];
                    break;
                }
            }
        }
        return found;
    }

    function update() {
        if (facts) {
            const selected = chosen();
            netron.update({ selected, marks: marks() });
            if (list) {
                list.select(selected);
            }
            describe();
        }
    }

    return {
        element,
        open(next, model, docs, bundle) {
            facts = next;
            facts.heated = Object.keys(facts.heat || {}).length > 0;
            list = null;
            stage.replaceChildren();
            tools.hidden = false;
            update();
            if (facts.problem) {
                fallBack(facts.problem);
            } else {
                netron.open({ name: facts.name, model, docs, bundle });
                describe();
            }
        },
        /** `quiet`: the choice came from the graph itself, which has done its part. */
        select(next, quiet = false) {
            fqn = next;
            if (!facts) {
                return;
            }
            if (!quiet) {
                update();
            }
            if (facts.total > facts.nodes.length && fqn && !chosen().length && handlers.focus) {
                handlers.focus(fqn);
            }
        },
        setStates(next) {
            states = next;
            if (facts) {
                netron.update({ marks: marks() });
            }
        },
        setDark: (dark) => netron.update({ dark }),
        dispose: netron.dispose,
    };
}

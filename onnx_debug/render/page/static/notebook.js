// The notebook around a live panel, as far as its front end lets a widget see it.

/** The notebook's connection to the kernel; not every front end has one for widgets. */
export const kernelOf = (model) => model.widget_manager && model.widget_manager.kernel;

/** The notebook's cells, which JupyterLab and Notebook 7 share with their widgets; null elsewhere. */
function cellsOf(model) {
    const shared = model.widget_manager?.context?.model?.sharedModel;
    return shared && typeof shared.insertCell === 'function' ? shared : null;
}

/** A function that puts code into a new cell below the one that shows the panel, and says whether it could; null where none can be made. */
export function inserter(model, element) {
    const shared = cellsOf(model);
    if (!shared) {
        return null;
    }
    return (code) => {
        const cell = element.closest('.jp-Notebook-cell, .jp-Cell');
        const index = cell ? [...cell.parentElement.querySelectorAll(':scope > .jp-Cell')].indexOf(cell) : -1;
        const own = Number(cell?.dataset.windowedListIndex ?? index); // a long notebook draws a part of its cells only
        if (!(own >= 0)) {
            return false;
        }
        shared.insertCell(own + 1, { cell_type: 'code', source: code.trim(), metadata: { trusted: true } });
        return true;
    };
}

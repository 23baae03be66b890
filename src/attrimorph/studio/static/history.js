// What was done, as a tree: undo goes to the parent, redo to the newest child, another edit begins a branch.
// It is kept in this browser alone.

const MOST = 300;

export class History {
  constructor() {
    this.nodes = new Map();
    this.current = null;
    this.next = 1;
  }

  /** Add a state below the current one and go to it. A state: {source, changes, locks}. */
  add(state, words, thumb = "") {
    const node = { id: this.next++, parent: this.current, state: structuredClone(state), words, thumb };
    this.nodes.set(node.id, node);
    this.current = node.id;
    if (this.nodes.size > MOST) this.prune();
    return node;
  }

  get node() {
    return this.nodes.get(this.current) ?? null;
  }

  children(id) {
    return [...this.nodes.values()].filter((node) => node.parent === id);
  }

  undo() {
    const parent = this.node?.parent ?? null;
    return parent === null ? null : this.go(parent);
  }

  redo() {
    const child = this.children(this.current).at(-1);
    return child ? this.go(child.id) : null;
  }

  go(id) {
    this.current = id;
    return this.node;
  }

  /** Forget the oldest leaf that is not on the way to where we are. */
  prune() {
    const needed = new Set();
    for (let id = this.current; id !== null && id !== undefined; id = this.nodes.get(id)?.parent) needed.add(id);
    const parents = new Set([...this.nodes.values()].map((node) => node.parent));
    const leaf = [...this.nodes.keys()].find((id) => !needed.has(id) && !parents.has(id));
    if (leaf !== undefined) return this.nodes.delete(leaf);
    // One long line: its beginning goes.
    const root = [...this.nodes.values()].find((node) => node.parent === null);
    for (const child of this.children(root.id)) child.parent = null;
    return this.nodes.delete(root.id);
  }

  /** Place the nodes: [{node, column, row}], a branch of its own in a row of its own. */
  placed() {
    const found = [];
    let rows = 0;
    const byParent = Map.groupBy ? Map.groupBy(this.nodes.values(), (node) => node.parent) : group(this.nodes.values());
    const visit = (node, column, row) => {
      // No recursion along a line: it may be long.
      for (;;) {
        found.push({ node, column, row });
        const [first, ...others] = byParent.get(node.id) ?? [];
        for (const other of others) visit(other, column + 1, ++rows);
        if (!first) return;
        node = first;
        column += 1;
      }
    };
    (byParent.get(null) ?? []).forEach((root, place) => visit(root, 0, place ? ++rows : 0));
    return found.sort((one, other) => one.node.id - other.node.id);
  }

  toJSON() {
    return { nodes: [...this.nodes.values()], current: this.current, next: this.next };
  }

  static from(value) {
    const history = new History();
    for (const node of value?.nodes ?? []) history.nodes.set(node.id, node);
    history.current = history.nodes.has(value?.current) ? value.current : null;
    history.next = value?.next ?? 1;
    return history;
  }
}

function group(nodes) {
  const found = new Map();
  for (const node of nodes) found.set(node.parent, [...(found.get(node.parent) ?? []), node]);
  return found;
}

// IndexedDB as a drawer: put(name, value), get(name).
function drawer(mode, action) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("attrimorph-studio", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const work = opening.result.transaction("kept", mode);
      const request = action(work.objectStore("kept"));
      work.oncomplete = () => {
        opening.result.close();
        resolve(request.result);
      };
      work.onerror = work.onabort = () => reject(work.error);
    };
  });
}

export const put = (name, value) => drawer("readwrite", (store) => store.put(value, name)).catch(() => undefined);
export const get = (name) => drawer("readonly", (store) => store.get(name)).catch(() => undefined);

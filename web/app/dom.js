// Describes a view as plain objects and changes the document accordingly. Elements
// that stay keep focus, scrolling and selection.

const SVG = "http://www.w3.org/2000/svg";

// h describes an element, or calls a component. Children are nested lists, texts
// and numbers; null, undefined, true and false are ignored.
export function h(tag, props, ...children) {
  const kids = children.flat(Infinity).filter((c) => c != null && c !== true && c !== false && c !== "");
  if (typeof tag === "function") return tag({ ...props, children: kids });
  return { tag, props: props ?? {}, kids };
}

// render changes parent's children to those that nodes describe.
export function render(parent, ...nodes) {
  patchChildren(parent, h("div", null, nodes).kids, false);
}

function patchChildren(parent, kids, svg) {
  const old = [...parent.childNodes];
  const keyed = new Map(old.filter((n) => n.vkey != null).map((n) => [n.vkey, n]));
  const wanted = new Set(kids.map((k) => k.props?.key).filter((k) => k != null));
  let next = parent.firstChild;
  for (const kid of kids) {
    const key = kid.props?.key;
    while (next && next.vkey != null && !wanted.has(next.vkey)) next = drop(next);
    const found = key != null ? keyed.get(key) : next?.vkey == null ? next : null;
    if (found && fits(found, kid)) {
      if (found === next) next = next.nextSibling;
      else parent.insertBefore(found, next);
      update(found, kid, svg);
    } else {
      parent.insertBefore(create(kid, svg), next);
      if (key == null && found) next = drop(found);
    }
  }
  while (next) next = drop(next);
}

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

const isText = (v) => typeof v !== "object";

function fits(node, v) {
  if (isText(v)) return node.nodeType === Node.TEXT_NODE;
  return node.nodeType === Node.ELEMENT_NODE && node.localName === v.tag;
}

function create(v, svg) {
  if (isText(v)) return document.createTextNode(v);
  const inSVG = svg || v.tag === "svg";
  const node = inSVG ? document.createElementNS(SVG, v.tag) : document.createElement(v.tag);
  node.vkey = v.props.key;
  update(node, v, inSVG);
  v.props.created?.(node);
  return node;
}

function update(node, v, svg) {
  if (isText(v)) {
    if (node.data !== String(v)) node.data = v;
    return;
  }
  const before = node.vprops ?? {};
  for (const name in before) if (!(name in v.props)) setProp(node, name, null);
  if (!v.props.own) patchChildren(node, v.kids, svg || v.tag === "svg"); // before the value of a select
  for (const name in v.props) if (before[name] !== v.props[name] || name === "value") setProp(node, name, v.props[name]);
  node.vprops = v.props;
}

const internal = new Set(["key", "created", "own"]); // own: render does not change the children

function setProp(node, name, value) {
  if (internal.has(name)) return;
  if (name.startsWith("on")) node[name] = value ?? null;
  else if (name === "style") setStyle(node, value ?? {});
  else if (name === "value") {
    if (node.value !== (value ?? "")) node.value = value ?? "";
  } else if (name === "checked" || name === "open") node[name] = Boolean(value);
  else if (value == null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

// setStyle sets styles by script, because the policy forbids them as attributes.
function setStyle(node, style) {
  for (const name in node.vprops?.style) if (!(name in style)) node.style.removeProperty(name);
  for (const name in style) node.style.setProperty(name, style[name]);
}

//! The imports between the source files of a crate, to check that there is no import circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

/// All files of a crate with the files that they import from. Names are relative to the crate's `src/`.
///
/// `mod child;` is not an import, and neither is a re-export (`pub use child::Name`). A name that is imported through a
/// re-export counts as imported from the file that defines it. Test modules do not count.
///
/// # Panics
///
/// If a file cannot be read or is not Rust.
#[must_use]
pub fn of_crate(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut modules = BTreeMap::new();
    collect(src, &root(src), &mut Vec::new(), &mut modules);
    let imports = |module: &Module| {
        let targets = module.paths.iter().filter_map(|path| resolve(&modules, &module.path, path, 0));
        let names = targets.map(|target| name(src, &modules[&target].file));
        names.filter(|target| *target != name(src, &module.file)).collect()
    };
    modules.values().map(|module| (name(src, &module.file), imports(module))).collect()
}

/// An import circle: files of which each imports from the next. `None` if there is no circle.
#[must_use]
pub fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn search(
        at: &str,
        imports: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|file| file == at) {
            return Some(way[start..].to_vec());
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        way.push(at.to_owned());
        let found = imports.get(at).into_iter().flatten().find_map(|next| search(next, imports, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|file| search(file, imports, &mut Vec::new(), &mut done))
}

type ModulePath = Vec<String>;

struct Module {
    path: ModulePath,
    file: PathBuf,
    children: BTreeSet<String>,
    /// Names that the file re-exports, each with its original path.
    exports: BTreeMap<String, Vec<String>>,
    /// All paths in the file.
    paths: Vec<Vec<String>>,
}

fn root(src: &Path) -> PathBuf {
    ["lib.rs", "main.rs"].map(|name| src.join(name)).into_iter().find(|file| file.is_file()).expect("a crate")
}

fn name(src: &Path, file: &Path) -> String {
    file.strip_prefix(src).expect("a file of the crate").display().to_string()
}

fn collect(src: &Path, file: &Path, path: &mut ModulePath, modules: &mut BTreeMap<ModulePath, Module>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let items: Vec<Item> = syntax.items.into_iter().filter(|item| !is_test(item)).collect();
    let mut module = Module {
        path: path.clone(),
        file: file.to_owned(),
        children: BTreeSet::new(),
        exports: BTreeMap::new(),
        paths: Vec::new(),
    };
    for item in &items {
        match item {
            Item::Mod(child) if child.content.is_none() => {
                module.children.insert(child.ident.to_string());
            }
            Item::Use(import) => {
                let mut leaves = Vec::new();
                flatten(&import.tree, &mut Vec::new(), &mut leaves);
                if matches!(import.vis, Visibility::Inherited) {
                    module.paths.extend(leaves.into_iter().map(|(_, path)| path));
                } else {
                    module.exports.extend(leaves);
                }
            }
            other => {
                let mut found = Paths(Vec::new());
                found.visit_item(other);
                module.paths.extend(found.0);
            }
        }
    }
    let children = module.children.clone();
    modules.insert(path.clone(), module);
    for child in children {
        let folder = path.iter().fold(src.to_owned(), |folder, name| folder.join(name));
        let candidates = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")];
        let file = candidates.into_iter().find(|file| file.is_file());
        let file = file.unwrap_or_else(|| panic!("module `{child}` of {}: no file", folder.display()));
        path.push(child);
        collect(src, &file, path, modules);
        path.pop();
    }
}

fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// The leaves of a `use`: the name that each one imports, and its full path.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<(String, Vec<String>)>) {
    let leaf = |prefix: &[String], name: &str| [prefix, &[name.to_owned()]].concat();
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((prefix.last().cloned().unwrap_or_default(), prefix.clone()));
        }
        UseTree::Name(name) => leaves.push((name.ident.to_string(), leaf(prefix, &name.ident.to_string()))),
        UseTree::Rename(rename) => {
            leaves.push((rename.rename.to_string(), leaf(prefix, &rename.ident.to_string())));
        }
        UseTree::Glob(_) => leaves.push(("*".to_owned(), prefix.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, leaves)),
    }
}

/// Paths in code outside of `use` items.
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// `pub(crate)` and `pub(super)` hold a path, but import nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    /// In a module inside the file, `super` is the file's own module.
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let mut inner = Paths(Vec::new());
        visit::visit_item_mod(&mut inner, module);
        self.0.extend(inner.0.into_iter().map(|mut path| {
            if let Some(first) = path.first_mut().filter(|first| *first == "super") {
                "self".clone_into(first);
            }
            path
        }));
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        flatten(&import.tree, &mut Vec::new(), &mut leaves);
        self.0.extend(leaves.into_iter().map(|(_, path)| path));
    }
}

/// The module whose file defines the item at `path`, as written in module `from`. `None` for items of other crates and
/// items of the same file.
fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    from: &[String],
    path: &[String],
    depth: usize,
) -> Option<ModulePath> {
    let mut at: ModulePath = from.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" | "super" => {
            if rest[0] == "self" {
                rest = &rest[1..];
            }
            while rest.first().is_some_and(|segment| segment == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        first if modules[&at].children.contains(first) => {}
        _ => return None,
    }
    while let Some(segment) = rest.first() {
        if modules[&at].children.contains(segment) {
            at.push(segment.clone());
            rest = &rest[1..];
        } else {
            break;
        }
    }
    // A re-exported name belongs to the module that defines it.
    if let Some(export) = rest.first().and_then(|name| modules[&at].exports.get(name)).filter(|_| depth < 8) {
        let inside = resolve(modules, &at, &[export.as_slice(), &rest[1..]].concat(), depth + 1);
        return inside;
    }
    Some(at)
}

//! Finds the route of a request. At each segment, from left to right, a literal wins over `{param}`, which wins over
//! `{*rest}`. The path is decided first, the method after it.
//!
//! The tree is our own: axum's `matchit` refuses `{param}` and `{*rest}` at one place.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::path::{PathParams, Segment};
use crate::route::Route;

/// The route of a request.
#[derive(Debug)]
pub struct Found<'r, 'p> {
    /// The route.
    pub route: &'r Arc<Route>,
    /// What its parameters stand for, in the order of the pattern, percent-encoded as they were sent.
    pub params: PathParams<'r, 'p>,
}

/// Why a request has no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No route has this path: 404.
    #[error("no route has this path")]
    Path,
    /// The path has routes, but none with this method: 405.
    #[error("this path has no route with this method")]
    Method {
        /// The methods for the header `Allow`, as of [`crate::Routes::methods_at`].
        allow: Vec<Method>,
    },
}

/// The routes by path: a tree of segments.
#[derive(Debug, Default)]
pub(crate) struct Table {
    root: Node,
}

/// What may follow the segments before it. The numbers are indexes of routes.
#[derive(Debug, Default)]
struct Node {
    literal: HashMap<String, Node>,
    param: Option<Box<Node>>,
    rest: Vec<usize>,
    here: Vec<usize>,
}

impl Table {
    /// The table of `routes`.
    pub(crate) fn of(routes: &[Arc<Route>]) -> Self {
        let mut table = Self::default();
        for (index, route) in routes.iter().enumerate() {
            let mut node = &mut table.root;
            let mut ends_with_rest = false;
            for segment in route.path.segments() {
                match segment {
                    Segment::Literal(text) => node = node.literal.entry(text.clone()).or_default(),
                    Segment::Param(_) => node = node.param.get_or_insert_default(),
                    Segment::Rest(_) => ends_with_rest = true,
                }
            }
            if ends_with_rest { node.rest.push(index) } else { node.here.push(index) }
        }
        table
    }

    pub(crate) fn find<'r, 'p>(
        &self,
        routes: &'r [Arc<Route>],
        method: &Method,
        path: &'p str,
    ) -> Result<Found<'r, 'p>, NotFound> {
        let mut values = Vec::new();
        let at_path = self.at(path, &mut values).ok_or(NotFound::Path)?;
        let with = |method: &Method| {
            at_path.iter().map(|index| &routes[*index]).find(|route| route.methods.contains(method))
        };
        let route = with(method).or_else(|| if method == Method::HEAD { with(&Method::GET) } else { None });
        match route {
            Some(route) => Ok(Found { route, params: route.path.params().zip(values).collect() }),
            None => Err(NotFound::Method { allow: methods_of(at_path, routes) }),
        }
    }

    pub(crate) fn methods_at(&self, routes: &[Arc<Route>], path: &str) -> Vec<Method> {
        self.at(path, &mut Vec::new()).map(|at_path| methods_of(at_path, routes)).unwrap_or_default()
    }

    /// The routes whose pattern is the best for `path`, and what its parameters stand for.
    fn at<'p>(&self, path: &'p str, values: &mut Vec<&'p str>) -> Option<&[usize]> {
        self.root.at(path.strip_prefix('/')?, values)
    }
}

impl Node {
    /// Looks for the rest of a path. A node has one depth, so a search visits each node once at most.
    fn at<'p>(&self, left: &'p str, values: &mut Vec<&'p str>) -> Option<&[usize]> {
        let (segment, after) = match left.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (left, None),
        };
        if let Some(node) = self.literal.get(segment)
            && let Some(found) = node.after(after, values)
        {
            return Some(found);
        }
        if !segment.is_empty()
            && let Some(node) = &self.param
        {
            values.push(segment);
            if let Some(found) = node.after(after, values) {
                return Some(found);
            }
            values.pop();
        }
        if !left.is_empty() && !self.rest.is_empty() {
            values.push(left);
            return Some(&self.rest);
        }
        None
    }

    /// What is found if this node stands for the segment before `after`.
    fn after<'p>(&self, after: Option<&'p str>, values: &mut Vec<&'p str>) -> Option<&[usize]> {
        match after {
            Some(left) => self.at(left, values),
            None => Some(&self.here[..]).filter(|here| !here.is_empty()),
        }
    }
}

fn methods_of(at_path: &[usize], routes: &[Arc<Route>]) -> Vec<Method> {
    let mut methods: Vec<Method> = at_path.iter().flat_map(|index| routes[*index].methods.clone()).collect();
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.push(Method::OPTIONS);
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

//! Finds the route of a request. A literal segment wins over `{param}`, which wins over `{*rest}`, from left to right.
//! The path is decided first, the method after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;

use crate::path::PathParams;
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

/// The routes by path.
#[derive(Debug)]
pub(crate) struct Table {
    /// The index in `groups`.
    paths: matchit::Router<usize>,
    /// The indexes of the routes with one shape of path.
    groups: Vec<Vec<usize>>,
}

impl Table {
    /// The table of routes that do not conflict.
    pub(crate) fn of(routes: &[Arc<Route>]) -> Self {
        let mut by_shape: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            by_shape.entry(route.path.shape()).or_default().push(index);
        }
        let mut table = Self { paths: matchit::Router::new(), groups: Vec::new() };
        for (shape, group) in by_shape {
            // Each shape is inserted once and has whole segments only, so there is no conflict.
            if table.paths.insert(shape, table.groups.len()).is_ok() {
                table.groups.push(group);
            }
        }
        table
    }

    pub(crate) fn find<'r, 'p>(
        &self,
        routes: &'r [Arc<Route>],
        method: &Method,
        path: &'p str,
    ) -> Result<Found<'r, 'p>, NotFound> {
        let matched = self.paths.at(path).map_err(|_| NotFound::Path)?;
        let group = &self.groups[*matched.value];
        let with = |method: &Method| {
            group.iter().map(|at| &routes[*at]).find(|route| route.methods.contains(method))
        };
        let route = with(method).or_else(|| if method == Method::HEAD { with(&Method::GET) } else { None });
        let Some(route) = route else {
            return Err(NotFound::Method { allow: self.methods_at(routes, path) });
        };
        let params = route.path.params().zip(matched.params.iter().map(|(_, value)| value)).collect();
        Ok(Found { route, params })
    }

    pub(crate) fn methods_at(&self, routes: &[Arc<Route>], path: &str) -> Vec<Method> {
        let Ok(matched) = self.paths.at(path) else { return Vec::new() };
        let group = &self.groups[*matched.value];
        let mut methods: Vec<Method> = group.iter().flat_map(|at| routes[*at].methods.clone()).collect();
        if methods.contains(&Method::GET) {
            methods.push(Method::HEAD);
        }
        methods.push(Method::OPTIONS);
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        methods
    }
}

# Makes every CSV file of this folder: cohorts, and what R says of them. Run here: Rscript expected.R
# R 4.2.2, survival 3.5-3, cmprsk 2.2-11. The tests read the files; they need no R.
# lung, ovarian, veteran, aml and mgus2 are data sets of the package survival (Therneau; LGPL); the others are invented.
library(survival)
library(cmprsk)
set.seed(20100101)

cohort <- function(paramcd, t, status, grp = "", kind = ifelse(status == 1, "event", "")) {
  data.frame(paramcd = paramcd, t = t, cnsr = 1 - status, grp = as.character(grp), kind = as.character(kind))
}
drawn <- function(paramcd, times, n, share, groups = c("a", "b"), kinds = "event") {
  status <- as.integer(runif(n) < share)
  kind <- ifelse(status == 1, sample(kinds, n, TRUE), "")
  cohort(paramcd, sample(times, n, TRUE), status, sample(groups, n, TRUE), kind)
}
plateau <- function(n) cohort(paste0("PLATEAU", n), seq_len(n), rep(1, n))

progressed <- mgus2$pstat == 1
cohorts <- rbind(
  cohort("LUNG", lung$time, lung$status - 1, lung$sex),
  cohort("OVARIAN", ovarian$futime, ovarian$fustat, ovarian$rx),
  cohort("VETERAN", veteran$time, veteran$status, veteran$celltype),
  cohort("AML", aml$time, aml$status, aml$x),
  cohort("MGUS2", ifelse(progressed, mgus2$ptime, mgus2$futime), as.integer(progressed | mgus2$death == 1), mgus2$sex,
         ifelse(progressed, "progression", ifelse(mgus2$death == 1, "death", ""))),
  do.call(rbind, lapply(c(2, 4, 6, 8, 10, 14, 18, 20, 28), plateau)),
  cohort("FLATEND", 1:8, c(1, 1, 1, 1, 0, 0, 0, 0)),
  cohort("FLATLEFT", 1:10, c(1, 1, 1, 1, 1, 0, 0, 1, 0, 1)),
  cohort("FLATTIED", c(2, 2, 2, 5, 5, 5), c(1, 1, 1, 0, 1, 0)),
  drawn("TIES", 1:6, 60, 0.6, c("a", "b", "c"), c("local", "distant", "death")),
  drawn("ZERO", 0:4, 40, 0.5, c("a", "b"), c("local", "distant")),
  cohort("ZEROALL", c(0, 0, 0), c(1, 1, 0), c("a", "b", "b")),
  drawn("HEAVY", 1:90, 80, 0.06, c("a", "b"), c("local", "distant")),
  drawn("WIDE", round(rexp(120, 1 / 9), 4), 120, 0.7, c("a", "b", "c", "d"), c("local", "distant")),
  cohort("CENSORED", c(3, 5, 5, 8), rep(0, 4), c("a", "a", "b", "b")),
  cohort("ONE", 7, 1),
  cohort("ONECENS", 7, 0),
  cohort("SAME", c(4, 4, 4, 4), c(1, 1, 0, 1), c("a", "a", "b", "b")),
  # group c has left before anything happens
  cohort("EARLY", c(5, 6, 7, 8, 9, 1, 2, 4), c(1, 1, 0, 1, 0, 0, 0, 0), c("a", "b", "a", "b", "a", "c", "c", "c")),
  # the same time, once with an error of its last binary digits
  cohort("NEAR", c(0.3, 0.1 + 0.2, 0.7, 0.1 * 7, 1.1, 1.1 + 1e-12), c(1, 1, 0, 1, 1, 0), c("a", "b", "a", "b", "a", "b"))
)

num <- function(x) ifelse(is.na(x), "", format(x, digits = 12, trim = TRUE, scientific = FALSE))
write <- function(rows, file) {
  numbers <- vapply(rows, is.double, NA)
  rows[numbers] <- lapply(rows[numbers], function(x) vapply(x, num, ""))
  write.csv(rows, file, row.names = FALSE, quote = FALSE)
}
fitted <- function(rows) survfit(Surv(t, 1 - cnsr) ~ 1, rows, conf.type = "log-log")
mid <- function(fit) summary(fit)$table[c("median", "0.95LCL", "0.95UCL")]

curve_of <- function(paramcd, grp, rows) {
  fit <- summary(fitted(rows), censored = TRUE)
  data.frame(paramcd, grp, t = fit$time, n_at_risk = as.integer(fit$n.risk), n_event = as.integer(fit$n.event),
             n_censored = as.integer(fit$n.censor), survival = fit$surv, lcl = fit$lower, ucl = fit$upper)
}
summary_of <- function(paramcd, grp, rows) {
  m <- mid(fitted(rows))
  f <- mid(survfit(Surv(t, cnsr) ~ 1, rows, conf.type = "log-log"))
  data.frame(paramcd, grp, n = nrow(rows), n_event = as.integer(sum(1 - rows$cnsr)), median = m[[1]], lcl = m[[2]],
             ucl = m[[3]], min = min(rows$t), max = max(rows$t), followup = f[[1]], followup_lcl = f[[2]],
             followup_ucl = f[[3]])
}
times_of <- function(paramcd, grp, rows) {
  chosen <- sort(unique(c(0.25, 0.5, 1, 2) * max(rows$t), decreasing = FALSE))
  known <- chosen[chosen <= max(rows$t)]
  fit <- summary(fitted(rows), times = known)
  at <- match(chosen, known)
  data.frame(paramcd, grp, t = chosen, n_at_risk = as.integer(fit$n.risk)[at], survival = fit$surv[at],
             lcl = fit$lower[at], ucl = fit$upper[at])
}
incidence_of <- function(paramcd, rows) {
  kinds <- sort(unique(rows$kind[rows$cnsr == 0]))
  state <- factor(ifelse(rows$cnsr == 0, rows$kind, "0"), c("0", kinds))
  fit <- survfit(Surv(rows$t, state) ~ 1, conf.type = "log-log")
  gray <- cuminc(rows$t, as.integer(state) - 1L)
  made <- lapply(seq_along(kinds), function(k) {
    p <- fit$pstate[, k + 1]
    other <- if (length(gray)) timepoints(gray, fit$time)$est[k, ] else NA
    stopifnot(paramcd %in% c("ZERO", "ZEROALL", "NEAR") || all(abs(p - other) < 1e-10, na.rm = TRUE))
    data.frame(paramcd, kind = kinds[k], t = fit$time, n_at_risk = as.integer(fit$n.risk[, 1]), incidence = p,
               std_error = fit$std.err[, k + 1], lcl = fit$lower[, k + 1], ucl = fit$upper[, k + 1])
  })
  do.call(rbind, made)
}
logrank_of <- function(paramcd, rows) {
  if (length(unique(rows$grp)) < 2 || all(rows$cnsr == 1)) return(NULL)
  test <- tryCatch(survdiff(Surv(t, 1 - cnsr) ~ grp, rows), error = function(e) NULL)
  if (is.null(test)) return(NULL)
  df <- as.integer(sum(test$exp > 0) - 1)
  data.frame(paramcd, chisq = test$chisq, df, p = pchisq(test$chisq, df, lower.tail = FALSE))
}

by_cohort <- split(cohorts, factor(cohorts$paramcd, unique(cohorts$paramcd)))
each <- function(made) do.call(rbind, lapply(names(by_cohort), function(p) made(p, by_cohort[[p]])))
grouped <- function(made) each(function(p, rows) {
  groups <- split(rows, rows$grp)
  parts <- if (length(groups) > 1) lapply(names(groups), function(g) made(p, g, groups[[g]]))
  do.call(rbind, c(list(made(p, "", rows)), parts))
})
cohorts_written <- cohorts
cohorts_written$cnsr <- as.integer(cohorts$cnsr)
short <- vapply(cohorts$t, format, "", digits = 15, trim = TRUE, scientific = FALSE)
cohorts_written$t <- ifelse(as.numeric(short) == cohorts$t, short, sprintf("%.17g", cohorts$t))
write(cohorts_written, "cohorts.csv")
write(each(function(p, rows) curve_of(p, "", rows)), "curves.csv")
write(grouped(summary_of), "summaries.csv")
write(grouped(function(p, grp, rows) if (p != "NEAR") times_of(p, grp, rows)), "times.csv")
# of those with one kind of event only a few small ones, where 1 - S is asked for
one_kind <- c("AML", "ZEROALL", "ONE", "SAME", "NEAR", "EARLY")
several <- function(p, rows) length(unique(rows$kind[rows$cnsr == 0])) > 1 || p %in% one_kind
write(each(function(p, rows) if (several(p, rows)) incidence_of(p, rows)), "incidence.csv")
write(each(logrank_of), "logrank.csv")

pairs <- rbind(expand.grid(n = 0:12, of = c(12L, 28L, 51L)), data.frame(n = c(123L, 400000L), of = c(400L, 1000000L)))
pairs <- pairs[pairs$n <= pairs$of, ]
limits <- t(mapply(function(n, of) binom.test(n, of)$conf.int, pairs$n, pairs$of))
write(data.frame(pairs, lcl = limits[, 1], ucl = limits[, 2]), "proportions.csv")
funnel <- expand.grid(n = c(1L, 5L, 10L, 28L, 200L, 5000L), p = c(0, 0.05, 0.41, 0.5, 1), limits_pct = c(95, 99.8))
tail <- (1 - funnel$limits_pct / 100) / 2
funnel$lower <- as.integer(qbinom(tail, funnel$n, funnel$p))
funnel$upper <- as.integer(qbinom(tail, funnel$n, funnel$p, lower.tail = FALSE))
write(funnel, "funnel.csv")

// SPDX-License-Identifier: MIT
/*
 * The progress line, and stopping on signals. The rate shown tells a person how
 * long it will take; it is no measurement.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define SECOND_NS 1000000000ULL

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

void stop_on_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	/* No SA_RESTART: a read of a pipe that never comes must end. */
	struct sigaction action = { .sa_handler = on_signal }, old;

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		/* Whoever started this with nohup meant it. */
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}

	/* A closed pipe is an error like any other: EPIPE. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

bool stop_requested(void)
{
	return stop;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

void progress_begin(struct progress *p, uint64_t total, bool forced)
{
	p->tty = isatty(STDERR_FILENO);
	p->on = forced || p->tty;
	p->total = total;
	p->started_ns = now_ns();
	p->shown_ns = p->started_ns;
}

static void show(struct progress *p, uint64_t done, uint64_t now)
{
	char bytes[SIZE_TEXT], total[SIZE_TEXT], rate[SIZE_TEXT];
	double seconds = (double)(now - p->started_ns) / SECOND_NS;
	unsigned int percent = p->total ? done * 100.0 / p->total : 100;

	fprintf(stderr, "%s%s of %s, %u %%, %s/s%s", p->tty ? "\r" : "", size_text(done, bytes),
		size_text(p->total, total), percent,
		size_text(seconds > 0 ? done / seconds : 0, rate), p->tty ? "\033[K" : "\n");
	fflush(stderr);
	p->shown_ns = now;
}

void progress_show(struct progress *p, uint64_t done)
{
	uint64_t now;

	if (!p->on)
		return;
	now = now_ns();
	if (now - p->shown_ns >= (p->tty ? SECOND_NS / 5 : SECOND_NS))
		show(p, done, now);
}

void progress_end(struct progress *p, uint64_t done)
{
	if (!p->on)
		return;
	show(p, done, now_ns());
	if (p->tty)
		fputc('\n', stderr);
	p->on = false;
}

void progress_text(struct progress *p, const char *text)
{
	if (!p->on)
		return;
	fprintf(stderr, "%s%s%s", p->tty ? "\r" : "", text, p->tty ? "\033[K" : "\n");
	fflush(stderr);
}

void progress_clear(struct progress *p)
{
	if (p->on && p->tty)
		progress_text(p, "\r");
}

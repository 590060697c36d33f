/* gyr/gyr.h: all of gyr. */
#ifndef GYR_GYR_H
#define GYR_GYR_H

#include <gyr/base.h>
#include <gyr/bundle.h>
#include <gyr/cache.h>
#include <gyr/data.h>
#include <gyr/device.h>
#include <gyr/index.h>
#include <gyr/metrics.h>
#include <gyr/model.h>
#include <gyr/monitor.h>
#include <gyr/pipeline.h>
#include <gyr/runtime.h>
#include <gyr/table.h>
#include <gyr/workflow.h>

#endif

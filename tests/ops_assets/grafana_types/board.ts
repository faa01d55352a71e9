// What a board must be: Grafana's own types, with the values of their enums as JSON has them.
import type { AnnotationQuery, Dashboard, DataQuery, Panel } from "@grafana/schema";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as stateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

type AsJson<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends object
      ? { [K in keyof T]: AsJson<T[K]> }
      : T;

// The types leave these to each data source: what the one for Prometheus reads.
interface PrometheusQuery extends DataQuery {
  datasource?: { type: "prometheus"; uid: string };
  editorMode?: "code" | "builder";
  exemplar?: boolean;
  expr: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  legendFormat?: string;
  range?: boolean;
}
interface PrometheusAnnotation extends AnnotationQuery<PrometheusQuery> {
  titleFormat?: string;
}
interface Link {
  title: string;
  url: string;
  targetBlank?: boolean;
}

type Shown<Type extends string, Options, Custom> = Omit<AsJson<Panel>, "type" | "options" | "targets" | "fieldConfig"> & {
  type: Type;
  options: AsJson<Options>;
  targets: AsJson<PrometheusQuery>[];
  fieldConfig: {
    defaults: Omit<AsJson<NonNullable<Panel["fieldConfig"]>["defaults"]>, "custom" | "links"> & {
      custom?: AsJson<Custom>;
      links?: Link[];
    };
    overrides: AsJson<NonNullable<Panel["fieldConfig"]>["overrides"]>;
  };
};

export type OurPanel =
  | Shown<"stat", stat.Options, never>
  | Shown<"state-timeline", stateTimeline.Options, stateTimeline.FieldConfig>
  | Shown<"table", table.Options, table.FieldConfig>
  | Shown<"timeseries", timeseries.Options, timeseries.FieldConfig>;

export type OurBoard = Omit<AsJson<Dashboard>, "panels" | "annotations"> & {
  annotations: { list: AsJson<PrometheusAnnotation>[] };
  panels: OurPanel[];
};

// Made by scripts/api-schema.mjs from the server's /openapi.json; run "npm run api" after changing the API.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Me: {
            id: string;
            login: string;
            name: string;
            roles: ("clinician" | "operator" | "administrator" | "auditor")[];
            /** @enum {string} */
            language: "bg" | "en";
            created_at: string;
            disabled_at: string | null;
            organisation: components["schemas"]["OrganisationShown"];
        };
        OrganisationShown: {
            id: string;
            name: string;
            zone: string;
        };
        SignInNew: {
            login: string;
            password: string;
        };
        LanguageChoice: {
            /** @enum {string} */
            language: "bg" | "en";
        };
        Consultations: {
            consultations: components["schemas"]["ConsultationShown"][];
        };
        ConsultationShown: {
            id: string;
            state: components["schemas"]["State"];
            patient: components["schemas"]["PatientBrief"];
            station: components["schemas"]["StationBrief"];
            clinician: components["schemas"]["Someone"] | null;
            created_at: string;
            waiting_at: string | null;
            live_at: string | null;
            ended_at: string | null;
            attachment_id: string | null;
        };
        /** @enum {string} */
        State: "scheduled" | "waiting" | "live" | "interrupted" | "ended" | "signed" | "amended" | "cancelled" | "no_show";
        PatientBrief: {
            id: string;
            name: string | null;
            birth_year: number | null;
            key_destroyed: boolean;
        };
        StationBrief: {
            id: number;
            name: string;
            place: string;
            online: boolean;
        };
        Someone: {
            id: string;
            name: string;
        };
        Stations: {
            stations: components["schemas"]["StationShown"][];
        };
        StationShown: {
            id: number;
            name: string;
            place: string;
            created_at: string;
            online: boolean;
            seen_at: string | null;
            status: {
                [key: string]: unknown;
            } | null;
        };
        Review: {
            consultation: components["schemas"]["ConsultationShown"];
            from_us: number;
            to_us: number;
            streams: components["schemas"]["ReviewStream"][];
            gaps: components["schemas"]["Gap"][];
            numerics: components["schemas"]["StoredNumber"][];
            numerics_truncated: boolean;
        };
        ReviewStream: {
            stream: number;
            kind: string;
            device: string;
            /** @enum {string} */
            origin: "measured" | "recording" | "simulated";
            channels: string[];
            rate: [
                number,
                number
            ];
            from_us: number;
            to_us: number;
            segments: components["schemas"]["Segment"][];
        };
        Segment: {
            stream: number;
            from_us: number;
            to_us: number;
            first_sample: number;
            n: number;
        };
        Gap: {
            kind: string;
            from_us: number;
            to_us: number;
        };
        StoredNumber: {
            kind: string;
            value: string | null;
            unit: string;
            at_us: number;
            source: string;
            /** @enum {string} */
            origin: "measured" | "recording" | "simulated";
            derived: boolean;
            quality: string[];
            extra: {
                [key: string]: string | null;
            };
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;

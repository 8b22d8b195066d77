/** Which page is shown. */
import { CheckPage } from "./check/CheckPage";
import { HelpPage } from "./help/HelpPage";
import { t } from "./i18n";
import { LivePage } from "./live/LivePage";
import { DeskPage } from "./operator/DeskPage";
import { StationPage } from "./operator/StationPage";
import { NotFoundPage } from "./other/NotFoundPage";
import { hasWorkList, RolePage } from "./other/RolePage";
import { account } from "./parts/account";
import { Shell } from "./parts/Shell";
import { ReviewPage } from "./review/ReviewPage";
import { place } from "./router";
import { SignInPage } from "./signin/SignInPage";
import { JoinPage } from "./visit/JoinPage";
import { WorkListPage } from "./worklist/WorkListPage";

export function App() {
  const here = place.value;
  if (here.page === "help") return <HelpPage />;
  if (here.page === "check") return <CheckPage />;
  if (here.page === "join") return <JoinPage key={here.token} token={here.token} />;
  if (account.value === undefined) {
    return (
      <Shell>
        <p class="page muted" role="status">
          {t("shell.connecting")}
        </p>
      </Shell>
    );
  }
  if (account.value === null) return <SignInPage />;
  if (here.page === "unknown") return <NotFoundPage />;
  if (!hasWorkList(account.value.roles)) return <RolePage />;
  switch (here.page) {
    case "live":
      return <LivePage key={here.id} id={here.id} />;
    case "review":
      return <ReviewPage key={here.id} id={here.id} />;
    case "desk":
      return <DeskPage key={here.id} id={here.id} />;
    case "station":
      return <StationPage key={here.id} id={here.id} />;
    case "worklist":
      return <WorkListPage />;
  }
}
